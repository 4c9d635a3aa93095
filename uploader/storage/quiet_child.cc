#include "uploader/storage/quiet_child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cstring>

#include "uploader/base/no_signals.h"

#if defined(__SANITIZE_THREAD__)
// ThreadSanitizer takes clone() for a fork, whose child has its memory for itself.
extern "C" int __clone(int (*)(void*), void*, int, void*, ...);  // NOLINT: glibc's name
#define BACKSTAY_CLONE __clone
#else
#define BACKSTAY_CLONE clone
#endif

namespace backstay {
namespace {

constexpr size_t kStack = 64 << 10;  // of each of the two
constexpr int kLookMs = 20;

// What the two processes share with the thread that waits for them: its memory. They call the
// system alone: whatever the C library keeps is the application's.
struct Job {
  const char* const* arguments;
  const char* const* environment;
  char* command_stack;  // its end
  char* output;
  size_t most;
  int64_t limit_ms;
  const std::atomic<bool>* cancelled;

  size_t n = 0;
  int status = -1;  // as wait(2) gives it
  int error = 0;
  bool late = false;
  bool too_much = false;
};

// Nothing of a sanitizer runs on a stack that is not the thread's.
#define BACKSTAY_BARE __attribute__((no_sanitize("address", "thread", "undefined"), noinline))

// Where the pipe's ends are, once nothing else is open.
constexpr int kNull = 0;
constexpr int kReadEnd = 1;
constexpr int kWriteEnd = 2;

BACKSTAY_BARE int64_t NowMs() {
  timespec now{};
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

BACKSTAY_BARE void Leave(int status) {
  for (;;) syscall(SYS_exit_group, status);
}

// The command's own process, up to the point where it is one.
BACKSTAY_BARE int BeCommand(void* argument) {
  const Job& job = *static_cast<const Job*>(argument);
  // Its group is killed with it.
  syscall(SYS_setsid);
  syscall(SYS_dup3, kWriteEnd, 1, 0);
  syscall(SYS_dup3, kNull, 2, 0);
  // What the application ignores would be ignored there, too; its handlers end with exec.
  const uint64_t standard[4] = {};
  for (int number = 1; number <= 64; ++number) {
    syscall(SYS_rt_sigaction, number, &standard, nullptr, sizeof(uint64_t));
  }
  const uint64_t none = 0;
  syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof none);
  syscall(SYS_execve, "/bin/sh", job.arguments, job.environment);
  Leave(127);
  return 0;
}

// False: nothing more will come.
BACKSTAY_BARE bool ReadSome(Job* job) {
  for (;;) {
    char beyond = 0;
    const bool full = job->n == job->most;
    char* const at = full ? &beyond : job->output + job->n;
    const long n =
        syscall(SYS_read, kReadEnd, at, full ? 1 : job->most - job->n);  // NOLINT: its type
    if (n < 0) return errno == EAGAIN;
    if (n == 0) return false;
    job->too_much = full;
    if (full) return false;
    job->n += static_cast<size_t>(n);
  }
}

// Until it has ended: what it leaves running may hold the pipe open for as long as it likes.
BACKSTAY_BARE void Follow(long pid, Job* job) {  // NOLINT: the system call's type
  const int64_t until = NowMs() + job->limit_ms;
  for (bool open = true;;) {
    pollfd end{kReadEnd, POLLIN, 0};
    const timespec pause{0, kLookMs * 1000000};
    syscall(SYS_ppoll, &end, open ? 1 : 0, &pause, nullptr, 0);
    const bool ended = syscall(SYS_wait4, pid, &job->status, WNOHANG, nullptr) == pid;
    if (open) open = ReadSome(job);
    if (ended) return;
    job->late = NowMs() >= until;
    if (!job->late && !job->too_much && !job->cancelled->load()) continue;
    syscall(SYS_kill, -pid, SIGKILL);
    syscall(SYS_wait4, pid, &job->status, 0, nullptr);
    return;
  }
}

// The process in between. It never calls exec: that would make it a child like any other.
BACKSTAY_BARE int BeBetween(void* argument) {
  Job* const job = static_cast<Job*>(argument);
  if (syscall(SYS_close_range, 0U, ~0U, 0U) != 0) {
    for (int fd = 0; fd < 65536; ++fd) syscall(SYS_close, fd);
  }
  int ends[2] = {-1, -1};
  const bool ready = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDWR, 0) == kNull &&
                     syscall(SYS_pipe2, ends, O_CLOEXEC) == 0 && ends[0] == kReadEnd &&
                     ends[1] == kWriteEnd;
  const long pid =  // NOLINT: the system call's type
      ready ? BACKSTAY_CLONE(BeCommand, job->command_stack, CLONE_VM | CLONE_VFORK | SIGCHLD, job)
            : -1;
  if (pid < 0) {
    job->error = errno;
    Leave(0);
  }
  syscall(SYS_close, kWriteEnd);
  syscall(SYS_fcntl, kReadEnd, F_SETFL, O_NONBLOCK);
  Follow(pid, job);
  Leave(0);
  return 0;
}

class Stacks {
 public:
  Stacks()
      : memory_(mmap(nullptr, 2 * kStack, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0)) {}
  ~Stacks() {
    if (ok()) munmap(memory_, 2 * kStack);
  }
  Stacks(const Stacks&) = delete;
  Stacks& operator=(const Stacks&) = delete;

  bool ok() const { return memory_ != MAP_FAILED; }
  char* first() const { return static_cast<char*>(memory_) + kStack; }
  char* second() const { return first() + kStack; }

 private:
  void* const memory_;
};

Status Outcome(const Job& job, const QuietCommand& what, bool cancelled) {
  if (job.error != 0) return Status::Errno("the program cannot be started", job.error);
  if (job.late) {
    return {Code::kUnavailable,
            "the program was killed: it took longer than " + std::to_string(what.limit_ms / 1000) +
                " s",
            true};
  }
  if (cancelled && !(WIFEXITED(job.status) && WEXITSTATUS(job.status) == 0)) {
    return {Code::kCancelled, "cancelled"};
  }
  if (job.too_much) {
    return {Code::kInvalid, "the program writes more than " + std::to_string(what.most) + " bytes"};
  }
  if (WIFEXITED(job.status) && WEXITSTATUS(job.status) == 0) return Status::Ok();
  if (!WIFEXITED(job.status)) {
    return {Code::kUnavailable,
            "the program was ended by signal " + std::to_string(WTERMSIG(job.status)), true};
  }
  return {Code::kUnavailable,
          "the program ended with exit status " + std::to_string(WEXITSTATUS(job.status)), true};
}

std::vector<const char*> Pointers(const std::vector<std::string>& texts) {
  std::vector<const char*> out;
  for (const std::string& text : texts) out.push_back(text.c_str());
  out.push_back(nullptr);
  return out;
}

}  // namespace

Result<std::string> RunQuietly(const QuietCommand& what, const std::atomic<bool>& cancelled) {
  if (cancelled) return Status(Code::kCancelled, "cancelled");
  const Stacks stacks;
  if (!stacks.ok()) return Status::Errno("the program cannot be started", errno);
  const std::vector<const char*> arguments = {"sh", "-c", what.command.c_str(), nullptr};
  const std::vector<const char*> environment = Pointers(what.environment);
  std::string output(what.most, '\0');
  Job job{.arguments = arguments.data(),
          .environment = environment.data(),
          .command_stack = stacks.second(),
          .output = output.data(),
          .most = what.most,
          .limit_ms = what.limit_ms,
          .cancelled = &cancelled};
  {
    const NoSignals blocked;  // of one that runs in a process that has its memory
    // Without a signal at its end, which makes it invisible to wait(-1).
    const int pid = BACKSTAY_CLONE(BeBetween, stacks.first(), CLONE_VM | CLONE_VFORK, &job);
    if (pid < 0) {
      job.error = errno;
    } else {
      int status = 0;
      while (waitpid(pid, &status, __WCLONE) < 0 && errno == EINTR) {
      }
    }
  }
  BACKSTAY_TRY(Outcome(job, what, cancelled));
  output.resize(job.n);
  return output;
}

}  // namespace backstay
