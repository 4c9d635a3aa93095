// The clocks of the world, sleeps that take no time, and chance.

#include <poll.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "tests/sim/libc_wrap.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/world.h"

// Their declarations have names that are not ours to use.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
using namespace backstay::sim;  // NOLINT: these are the C library's names

namespace {

constexpr int64_t kNsPerS = 1'000'000'000;
constexpr int64_t kPollNs = 50 * kNsPerMs;  // what another process does shows after that

void Sleep(int64_t ns) {
  const char here = 0;
  WaitFor(&here, world->now_ns + std::max<int64_t>(ns, 0));
}

timespec ToTime(int64_t ns) { return {ns / kNsPerS, ns % kNsPerS}; }

}  // namespace

BACKSTAY_WRAP int clock_gettime(clockid_t clock, timespec* time) noexcept {
  static auto* const real = BACKSTAY_REAL(clock_gettime);
  if (!Scheduled()) return real(clock, time);
  switch (clock) {
    case CLOCK_REALTIME: *time = ToTime(kEpochNs + world->now_ns); return 0;
    case CLOCK_REALTIME_COARSE: *time = ToTime(world->TickedNs()); return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
    case CLOCK_MONOTONIC_COARSE: *time = ToTime(world->now_ns); return 0;
    default: return real(clock, time);
  }
}

BACKSTAY_WRAP int gettimeofday(timeval* time, void* zone) noexcept {
  static auto* const real = BACKSTAY_REAL(gettimeofday);
  if (!Scheduled()) return real(time, zone);
  const timespec now = ToTime(kEpochNs + world->now_ns);
  *time = {now.tv_sec, now.tv_nsec / 1000};
  return 0;
}

BACKSTAY_WRAP time_t time(time_t* out) noexcept {
  static auto* const real = BACKSTAY_REAL(time);
  if (!Scheduled()) return real(out);
  const time_t now = (kEpochNs + world->now_ns) / kNsPerS;
  if (out != nullptr) *out = now;
  return now;
}

BACKSTAY_WRAP int nanosleep(const timespec* time, timespec* left) {
  static auto* const real = BACKSTAY_REAL(nanosleep);
  if (!Scheduled()) return real(time, left);
  Sleep(int64_t{time->tv_sec} * kNsPerS + time->tv_nsec);
  return 0;
}

BACKSTAY_WRAP int usleep(useconds_t us) {
  static auto* const real = BACKSTAY_REAL(usleep);
  if (!Scheduled()) return real(us);
  Sleep(int64_t{us} * 1000);
  return 0;
}

BACKSTAY_WRAP int poll(pollfd* files, nfds_t count, int ms) {
  static auto* const real = BACKSTAY_REAL(poll);
  if (!Scheduled()) return real(files, count, ms);
  const int64_t until = ms < 0 ? kNever : world->now_ns + ms * kNsPerMs;
  for (;;) {
    const int ready = real(files, count, 0);
    if (ready != 0 || world->now_ns >= until) return ready;
    Sleep(std::min(kPollNs, until - world->now_ns));
  }
}

// The engine's ids come from here.
BACKSTAY_WRAP int RAND_bytes(unsigned char* out, int n) {
  static auto* const random = new Random(static_cast<uint64_t>(world->now_ns) + 1);
  for (int i = 0; i < n; ++i) out[i] = static_cast<unsigned char>(random->Next());
  return 1;
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
