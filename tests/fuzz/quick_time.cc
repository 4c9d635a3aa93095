// Time that runs faster for all that waits in this program: an input is tried in milliseconds,
// though the engine waits for a second here and there.
//
// Replaces the C library's functions in the program that it is linked into; any thread. The wall
// clock, which the times of files follow, is left as it is.

#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>

#include "tests/fuzz/linked_engine.h"

namespace {

constexpr int64_t kFactor = 20;
constexpr int64_t kNsPerS = 1000000000;

int64_t ToNs(const timespec& time) { return time.tv_sec * kNsPerS + time.tv_nsec; }
timespec FromNs(int64_t ns) { return {ns / kNsPerS, ns % kNsPerS}; }

int64_t RealNow() {
  timespec now{};
  syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
  return ToNs(now);
}

int64_t Start() {
  static const int64_t start = RealNow();
  return start;
}

}  // namespace

// Makes the linker take this file, and not what a sanitizer's runtime has of the same names.
void HurryTime() { (void)Start(); }

extern "C" {

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, timespec* out) {
  if (id != CLOCK_MONOTONIC) return static_cast<int>(syscall(SYS_clock_gettime, id, out));
  *out = FromNs(Start() + (RealNow() - Start()) * kFactor);
  return 0;
}

__attribute__((visibility("default"))) int clock_nanosleep(clockid_t id, int flags,
                                                           const timespec* time, timespec*) {
  const bool absolute = (flags & TIMER_ABSTIME) != 0;
  const int64_t from = absolute ? RealNow() : 0;
  const int64_t ns = absolute && id == CLOCK_MONOTONIC ? Start() + (ToNs(*time) - Start()) / kFactor
                     : absolute                        ? from
                                                       : ToNs(*time) / kFactor;
  const timespec pause = FromNs(ns > from ? ns - from : 0);
  syscall(SYS_nanosleep, &pause, nullptr);
  return 0;
}

__attribute__((visibility("default"))) int nanosleep(const timespec* time, timespec* left) {
  return clock_nanosleep(CLOCK_MONOTONIC, 0, time, left);
}

// Every std::condition_variable waits here.
__attribute__((visibility("default"))) int pthread_cond_clockwait(pthread_cond_t* cond,
                                                                  pthread_mutex_t* mutex,
                                                                  clockid_t id,
                                                                  const timespec* until) {
  static const auto real = reinterpret_cast<decltype(&pthread_cond_clockwait)>(
      dlsym(RTLD_NEXT, "pthread_cond_clockwait"));
  if (id != CLOCK_MONOTONIC) return real(cond, mutex, id, until);
  const timespec then = FromNs(Start() + (ToNs(*until) - Start()) / kFactor);
  return real(cond, mutex, id, &then);
}

}  // extern "C"
