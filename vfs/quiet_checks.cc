#include "vfs/quiet_checks.h"

#include <pthread.h>
#include <sys/stat.h>

#include <atomic>
#include <new>

namespace backstay {
namespace {

using Fstat = int (*)(int, struct stat*);
using Stat = int (*)(const char*, struct stat*);

std::mutex replacing;
// Where the VFS's own are, for those that are called a moment too late, too.
std::atomic<Fstat> real_fstat = &fstat;
std::atomic<Stat> real_stat = &stat;

// Not thread-local, which takes memory at a thread's first use: the one thread that may is noted.
std::atomic<pthread_t> quiet = 0;
std::atomic<bool> closing = false;
struct stat looked_at;  // of that thread alone; so is the next
int looked_at_fd = -1;

int QuietFstat(int fd, struct stat* info) {
  const int rc = real_fstat.load()(fd, info);
  if (rc != 0 || quiet.load() != pthread_self()) return rc;
  info->st_nlink = 1;
  looked_at = *info;
  looked_at_fd = fd;
  return rc;
}

// At a close: "is it still the file of that name?" At an open a path is looked up for good reasons.
int QuietStat(const char* path, struct stat* info) {
  if (!closing.load() || quiet.load() != pthread_self()) return real_stat.load()(path, info);
  *info = looked_at;
  return 0;
}

template <typename Function>
void Replace(sqlite3_vfs* vfs, const char* name, Function own, std::atomic<Function>* real) {
  sqlite3_syscall_ptr before = vfs->xGetSystemCall(vfs, name);
  if (before == nullptr) return;
  // Ours is there already after a fork in the middle.
  if (before == reinterpret_cast<sqlite3_syscall_ptr>(own)) return;
  real->store(reinterpret_cast<Function>(before));
  vfs->xSetSystemCall(vfs, name, reinterpret_cast<sqlite3_syscall_ptr>(own));
}

template <typename Function>
void Restore(sqlite3_vfs* vfs, const char* name, Function own, const std::atomic<Function>& real) {
  // Not if somebody else has replaced it meanwhile.
  if (vfs->xGetSystemCall(vfs, name) != reinterpret_cast<sqlite3_syscall_ptr>(own)) return;
  vfs->xSetSystemCall(vfs, name, reinterpret_cast<sqlite3_syscall_ptr>(real.load()));
}

bool HasMeans(const sqlite3_vfs* vfs) {
  return vfs->iVersion >= 3 && vfs->xSetSystemCall != nullptr && vfs->xGetSystemCall != nullptr;
}

}  // namespace

QuietChecks::QuietChecks(sqlite3_vfs* vfs, When when) noexcept
    : vfs_(HasMeans(vfs) ? vfs : nullptr), lock_(replacing) {
  looked_at_fd = -1;
  quiet = pthread_self();
  if (vfs_ == nullptr) return;
  Replace(vfs_, "fstat", &QuietFstat, &real_fstat);
  Replace(vfs_, "stat", &QuietStat, &real_stat);
  closing = when == kClose;
}

QuietChecks::~QuietChecks() {
  quiet = 0;
  if (vfs_ == nullptr) return;
  Restore(vfs_, "fstat", &QuietFstat, real_fstat);
  Restore(vfs_, "stat", &QuietStat, real_stat);
}

bool QuietChecks::OnThisThread() noexcept { return quiet.load() == pthread_self(); }

int QuietChecks::descriptor() const noexcept { return looked_at_fd; }

void QuietChecks::AfterForkInChild() noexcept {
  new (&replacing) std::mutex;
  quiet = 0;
}

}  // namespace backstay
