#include "uploader/base/clock.h"

#include <array>
#include <cstdio>
#include <ctime>

namespace backstay {
namespace {

int64_t Now(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return static_cast<int64_t>(t.tv_sec) * 1000 + t.tv_nsec / 1000000;
}

class SystemClock : public Clock {
 public:
  int64_t WallMs() override { return Now(CLOCK_REALTIME); }
  int64_t MonotonicMs() override { return Now(CLOCK_MONOTONIC); }
};

}  // namespace

Clock* RealClock() {
  static auto* const clock =
      new SystemClock;  // never destroyed: threads outlive static destructors
  return clock;
}

std::string FormatRfc3339(int64_t wall_ms) {
  time_t seconds = wall_ms / 1000;
  tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 64> text{};
  size_t n = strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(text.data() + n, text.size() - n, ".%03dZ", static_cast<int>(wall_ms % 1000));
  return text.data();
}

}  // namespace backstay
