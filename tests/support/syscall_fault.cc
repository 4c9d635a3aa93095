// Runs a command and breaks it at its n-th system call on files below a folder: kills it before the
// call, or lets calls fail. ptrace with a seccomp filter, so that it also reaches libraries that no
// LD_PRELOAD does, and costs nothing for other calls.
//
//   syscall_fault FOLDER WHICH ACTION FIRST COUNT REPORT COMMAND [ARGUMENT…]
//
// WHICH: writes (what changes files), all (opens, reads and locks too), memory (whatever the
// folder: memory asked for by threads whose name begins with "backstay"). ACTION: kill, or an
// errno. FIRST: the first call that is broken, 1-based; 0: none. COUNT: calls broken from there on.
// The number of calls seen is written to the file REPORT when the command ends. With
// SYSCALL_FAULT_SYNCED in the environment every file is copied into that folder before it is
// fsynced, named INODE-BIRTH: what a power cut would leave at least. What happens to names is noted
// there in `names`, before it happens, for a power cut may undo it: "create PATH", "unlink PATH
// KEPT", "rename FROM TO KEPT", "sync PATH" with tabs between; KEPT is a link to the file that lost
// its name, "-": none. Exit status: the command's, or 128 + the signal that ended it; 125 when
// ptrace is not permitted.

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace {

struct Call {
  long number;
  int fd;      // index of the argument that is a descriptor; -1: none
  int path;    // index of the argument that is a path; -1: none
  bool reads;  // only with WHICH all
};

const std::vector<Call>& Calls() {
  static const std::vector<Call> calls = {
      {SYS_write, 0, -1, false},     {SYS_pwrite64, 0, -1, false},  {SYS_writev, 0, -1, false},
      {SYS_ftruncate, 0, -1, false}, {SYS_fallocate, 0, -1, false}, {SYS_fsync, 0, -1, false},
      {SYS_fdatasync, 0, -1, false}, {SYS_fchmod, 0, -1, false},    {SYS_fchown, 0, -1, false},
      {SYS_renameat, -1, 1, false},  {SYS_renameat2, -1, 1, false}, {SYS_linkat, -1, 1, false},
      {SYS_unlinkat, -1, 1, false},  {SYS_mkdirat, -1, 1, false},   {SYS_setxattr, -1, 0, false},
      {SYS_openat, -1, 1, false},    {SYS_pread64, 0, -1, true},    {SYS_read, 0, -1, true},
      {SYS_fstat, 0, -1, true},      {SYS_flock, 0, -1, true},      {SYS_getdents64, 0, -1, true},
      {SYS_fcntl, 0, -1, true},      {SYS_mmap, -1, -1, false},     {SYS_mprotect, -1, -1, false},
      {SYS_brk, -1, -1, false},      {SYS_mremap, -1, -1, false},
#ifdef SYS_rename
      {SYS_rename, -1, 0, false},    {SYS_link, -1, 0, false},      {SYS_unlink, -1, 0, false},
      {SYS_rmdir, -1, 0, false},     {SYS_mkdir, -1, 0, false},     {SYS_open, -1, 0, false},
#endif
  };
  return calls;
}

// Where a system has only the calls that take a folder, these are none.
#ifdef SYS_rename
constexpr long kOpen = SYS_open, kMkdir = SYS_mkdir, kUnlink = SYS_unlink, kRename = SYS_rename;
#else
constexpr long kOpen = -1, kMkdir = -1, kUnlink = -1, kRename = -1;
#endif

constexpr int kStart = 4;  // memory calls of a thread as it starts

struct Plan {
  std::string folder;
  bool all = false;
  bool memory = false;
  int error = 0;  // 0: kill
  unsigned long first = 0;
  unsigned long count = 0;
  unsigned long seen = 0;
  std::string synced;              // folder for copies; empty: none
  std::map<pid_t, int> of_thread;  // memory calls
};

std::string TextAt(pid_t thread, uint64_t address) {
  char buffer[257] = {};
  iovec local{buffer, 256};
  iovec remote{reinterpret_cast<void*>(address), 256};
  // What lies behind the end of the string may not be mapped.
  for (size_t n : {256, 64, 16}) {
    local.iov_len = remote.iov_len = n;
    if (process_vm_readv(thread, &local, 1, &remote, 1, 0) > 0) break;
  }
  return buffer;
}

std::string PathOf(pid_t thread, const Call& call, const __ptrace_syscall_info& info) {
  if (call.fd < 0) return TextAt(thread, info.seccomp.args[call.path]);
  char buffer[4096] = {};
  std::string link = "/proc/" + std::to_string(thread) + "/fd/" +
                     std::to_string(static_cast<int>(info.seccomp.args[call.fd]));
  ssize_t got = readlink(link.c_str(), buffer, sizeof buffer - 1);
  return got > 0 ? std::string(buffer, static_cast<size_t>(got)) : "";
}

bool IsOurs(pid_t thread) {
  std::string path = "/proc/" + std::to_string(thread) + "/comm";
  char name[16] = {};
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  bool read_it = fd >= 0 && read(fd, name, sizeof name - 1) > 0;
  if (fd >= 0) close(fd);
  return read_it && std::string(name).compare(0, 8, "backstay") == 0;
}

bool Opens(const Call& call) { return call.number == SYS_openat || call.number == kOpen; }

// An open that makes nothing changes nothing.
bool OnlyReads(const Call& call, const __ptrace_syscall_info& info) {
  if (call.reads) return true;
  return Opens(call) && (info.seccomp.args[call.path + 1] & (O_CREAT | O_TRUNC)) == 0;
}

// End of the heap; 0: there is none.
long HeapEnd(pid_t process) {
  FILE* maps = fopen(("/proc/" + std::to_string(process) + "/maps").c_str(), "r");
  char line[512];
  long end = 0;
  while (maps != nullptr && fgets(line, sizeof line, maps) != nullptr) {
    if (strstr(line, "[heap]") != nullptr) sscanf(line, "%*x-%lx", &end);
  }
  if (maps != nullptr) fclose(maps);
  return end;
}

void Refuse(pid_t process, pid_t thread, const Call& call, int error) {
  long answer = -static_cast<long>(error);
  // brk says no by answering the old end.
  if (call.number == SYS_brk && (answer = HeapEnd(process)) == 0) return;
#ifdef __x86_64__
  ptrace(PTRACE_POKEUSER, thread, offsetof(user_regs_struct, orig_rax), -1L);
  ptrace(PTRACE_POKEUSER, thread, offsetof(user_regs_struct, rax), answer);
#else
  (void)thread;
#endif
}

void KeepSynced(pid_t thread, int fd, const std::string& folder) {
  std::string path = "/proc/" + std::to_string(thread) + "/fd/" + std::to_string(fd);
  int from = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct statx info {};
  if (from < 0 || statx(from, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &info) != 0)
    return;
  std::string name = folder + "/" + std::to_string(info.stx_ino) + "-" +
                     std::to_string(info.stx_btime.tv_sec) + "." +
                     std::to_string(info.stx_btime.tv_nsec);
  int to = open((name + ".new").c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  while (to >= 0 && sendfile(to, from, nullptr, 1 << 20) > 0) {
  }
  if (to >= 0) rename((name + ".new").c_str(), name.c_str());
  close(from);
  if (to >= 0) close(to);
}

// A link that outlives the name, after a tab; "-": there is no such file.
std::string Kept(const std::string& path, const Plan& plan) {
  std::string kept = plan.synced + "/kept-" + std::to_string(plan.seen);
  return "\t" + (link(path.c_str(), kept.c_str()) == 0 ? kept : "-");
}

void NoteNames(pid_t thread, const Call& call, const __ptrace_syscall_info& info,
               const Plan& plan) {
  const std::string path = PathOf(thread, call, info);
  const long number = call.number;
  const bool makes =
      (Opens(call) && !OnlyReads(call, info)) || number == SYS_mkdirat || number == kMkdir;
  std::string line;
  if (number == SYS_fsync || number == SYS_fdatasync) {
    line = "sync\t" + path;
  } else if (makes && access(path.c_str(), F_OK) != 0) {
    line = "create\t" + path;
  } else if (number == SYS_unlinkat || number == kUnlink) {
    line = "unlink\t" + path + Kept(path, plan);
  } else if (number == SYS_renameat || number == SYS_renameat2 || number == kRename) {
    std::string to = TextAt(thread, info.seccomp.args[number == kRename ? 1 : 3]);
    line = "rename\t" + path + "\t" + to + Kept(to, plan);
  }
  FILE* names = line.empty() ? nullptr : fopen((plan.synced + "/names").c_str(), "a");
  if (names == nullptr) return;
  fprintf(names, "%s\n", line.c_str());
  fclose(names);
}

// Whether the plan counts this call.
bool Counts(pid_t thread, const Call& call, const __ptrace_syscall_info& info, Plan* plan) {
  if (plan->memory || (call.fd < 0 && call.path < 0)) {
    return plan->memory && call.fd < 0 && call.path < 0 && IsOurs(thread) &&
           ++plan->of_thread[thread] > kStart;
  }
  if (!plan->all && OnlyReads(call, info)) return false;
  // Of the many uses of fcntl only locks.
  if (call.number == SYS_fcntl && info.seccomp.args[1] != F_SETLK) return false;
  return PathOf(thread, call, info).compare(0, plan->folder.size(), plan->folder) == 0;
}

void OnCall(pid_t process, pid_t thread, Plan* plan) {
  __ptrace_syscall_info info{};
  ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
  for (const Call& call : Calls()) {
    if (call.number != static_cast<long>(info.seccomp.nr)) continue;
    if (!Counts(thread, call, info, plan)) return;
    bool sync = call.number == SYS_fsync || call.number == SYS_fdatasync;
    const bool keeps = !plan->synced.empty() && !plan->memory;
    if (keeps) NoteNames(thread, call, info, *plan);
    if (sync && keeps) {
      KeepSynced(thread, static_cast<int>(info.seccomp.args[0]), plan->synced);
    }
    ++plan->seen;
    if (plan->first == 0 || plan->seen < plan->first) return;
    if (plan->seen >= plan->first + plan->count) return;
    if (plan->error == 0) kill(process, SIGKILL);
    if (plan->error != 0) Refuse(process, thread, call, plan->error);
    return;
  }
}

void Become(char** command) {
  std::vector<sock_filter> filter = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const Call& call : Calls()) {
    filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call.number), 0, 1));
    filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE));
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) _exit(125);
  raise(SIGSTOP);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) _exit(125);
  execvp(command[0], command);
  _exit(127);
}

int Trace(pid_t process, Plan* plan) {
  int status = 0;
  waitpid(process, &status, 0);
  if (!WIFSTOPPED(status)) return 125;
  ptrace(PTRACE_SETOPTIONS, process, 0,
         PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
             PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
  ptrace(PTRACE_CONT, process, 0, 0);
  for (;;) {
    pid_t thread = waitpid(-1, &status, __WALL);
    if (thread < 0) return 125;
    if (WIFEXITED(status) && thread == process) return WEXITSTATUS(status);
    if (WIFSIGNALED(status) && thread == process) return 128 + WTERMSIG(status);
    if (!WIFSTOPPED(status)) continue;
    int deliver = 0;
    if (status >> 8 == (SIGTRAP | (PTRACE_EVENT_SECCOMP << 8))) {
      OnCall(process, thread, plan);
    } else if (status >> 16 == 0 && WSTOPSIG(status) != SIGSTOP) {
      deliver = WSTOPSIG(status);  // a new thread begins with a SIGSTOP that nobody sent
    }
    ptrace(PTRACE_CONT, thread, 0, deliver);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 8) return 2;
  Plan plan;
  plan.folder = argv[1];
  plan.all = argv[2] == std::string("all");
  plan.memory = argv[2] == std::string("memory");
  plan.error = argv[3] == std::string("kill") ? 0 : atoi(argv[3]);
  plan.first = strtoul(argv[4], nullptr, 10);
  plan.count = strtoul(argv[5], nullptr, 10);
  if (const char* folder = getenv("SYSCALL_FAULT_SYNCED")) plan.synced = folder;
  pid_t process = fork();
  if (process == 0) Become(argv + 7);
  int code = Trace(process, &plan);
  FILE* report = fopen(argv[6], "w");
  if (report == nullptr) return 2;
  fprintf(report, "%lu\n", plan.seen);
  fclose(report);
  return code;
}
