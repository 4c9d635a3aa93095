// A library to preload: a monotonic clock that the program can move on.
//
//   void shift_clock(long seconds);   from now on the clock is that much ahead of what it was
//
// For what happens after minutes and hours. The engine binds to libc's own clock and does not see
// it; the shim does.

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>

namespace {
std::atomic<long> shift = 0;
}

extern "C" __attribute__((visibility("default"))) void shift_clock(long seconds) {
  shift += seconds;
}

extern "C" __attribute__((visibility("default"))) int clock_gettime(clockid_t id,
                                                                    timespec* now) noexcept {
  const long rc = syscall(SYS_clock_gettime, id, now);
  if (rc == 0 && id == CLOCK_MONOTONIC) now->tv_sec += shift;
  return static_cast<int>(rc);
}
