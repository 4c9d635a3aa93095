#include "vfs/headroom.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdlib>

#include "vfs/process.h"
#include "vfs/quiet_checks.h"

namespace backstay {
namespace {

// Of one database while it is replicated; libraries and the stacks of threads included.
constexpr int kOwnDescriptors = 24;
constexpr rlim_t kOwnMemory = 128 << 20;
constexpr int kReservedDescriptors = 16;
constexpr rlim_t kReservedMemory = 64 << 20;

// The soft limit, RLIM_INFINITY if it is not known.
rlim_t Limit(__rlimit_resource resource) {
  rlimit limit{};
  return getrlimit(resource, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

// Counted from above, where they are mostly free: usually as many looks as `wanted`.
bool HasDescriptors(rlim_t limit, int wanted) {
  int fd = static_cast<int>(std::min<rlim_t>(limit, INT_MAX));
  while (wanted > 0 && --fd >= 0) wanted -= fcntl(fd, F_GETFD) < 0 ? 1 : 0;
  return wanted == 0;
}

// Bytes; 0 if they cannot be read.
rlim_t AddressSpaceInUse() {
  char text[64] = "";
  const int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  const ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  return n > 0 ? strtoull(text, nullptr, 10) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) : 0;
}

bool HasMemory(rlim_t limit, rlim_t wanted) {
  return limit == RLIM_INFINITY || AddressSpaceInUse() + wanted <= limit;
}

bool RanOut() { return errno == EMFILE || errno == ENFILE || errno == ENOMEM; }

Shortage::What Lacks() {
  constexpr size_t kLittle = 4 << 20;
  const int fd = open("/", O_PATH | O_CLOEXEC);
  if (fd < 0 && RanOut()) return errno == ENOMEM ? Shortage::kMemory : Shortage::kDescriptors;
  if (fd >= 0) close(fd);
  void* at = mmap(nullptr, kLittle, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) return Shortage::kMemory;
  munmap(at, kLittle);
  return Shortage::kNothing;
}

bool MayLackRoom(int rc) {
  constexpr int kPrimary = 0xff;
  const int kind = rc & kPrimary;
  return kind == SQLITE_CANTOPEN || kind == SQLITE_IOERR || kind == SQLITE_NOMEM;
}

}  // namespace

bool MadeRoom(int rc) noexcept {
  Process* process = MayLackRoom(rc) ? Process::Current() : nullptr;
  // Behind an open of our own, through a VFS that stands on another one, nothing is to be given
  // back: what we lack the application keeps.
  if (process == nullptr || QuietChecks::OnThisThread()) return false;
  // The application may ask for it.
  const int error = errno;
  const Shortage::What what = Lacks();
  const bool made = what != Shortage::kNothing && process->GiveBack(what);
  errno = error;
  return made;
}

std::string Lack() {
  const rlim_t files = Limit(RLIMIT_NOFILE);
  constexpr int kDescriptors = kOwnDescriptors + kReservedDescriptors;
  if (!HasDescriptors(files, kDescriptors)) {
    return "of " + std::to_string(files) + " file descriptors too few are free: Backstay takes " +
           std::to_string(kOwnDescriptors) + " and leaves the application " +
           std::to_string(kReservedDescriptors) + "; raise the limit (ulimit -n, LimitNOFILE=)";
  }
  const rlim_t memory = Limit(RLIMIT_AS);
  if (!HasMemory(memory, kOwnMemory + kReservedMemory)) {
    return "of " + std::to_string(memory >> 20) +
           " MiB of address space too little is free: " + "Backstay takes " +
           std::to_string(kOwnMemory >> 20) + " and leaves the application " +
           std::to_string(kReservedMemory >> 20) + "; raise the limit (ulimit -v, LimitAS=)";
  }
  return {};
}

}  // namespace backstay
