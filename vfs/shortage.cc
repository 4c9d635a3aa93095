#include "vfs/shortage.h"

#include <ctime>

namespace backstay {
namespace {

constexpr int64_t kPauseMs = 30 * 1000;

}  // namespace

int64_t MonotonicMs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1000000;
}

int64_t Shortage::Begin(What what) noexcept {
  what_ = what;
  return until_ms_.exchange(options_.now_ms() + kPauseMs);
}

bool Shortage::Lasts() const { return options_.now_ms() < until_ms_; }

// The same text all the time: it is said at the pace of what lasts.
std::string Shortage::Line() const {
  const What what = what_;
  if (what == kNothing) return {};
  const bool memory = what == kMemory;
  return std::string("the application ran out of ") + (memory ? "memory" : "file descriptors") +
         ", so that Backstay has given back its own; this database is not replicated for 30 s, and "
         "then until there is room (asked at each commit); raise the limit " +
         (memory ? "(ulimit -v, LimitAS=)" : "(ulimit -n, LimitNOFILE=)");
}

}  // namespace backstay
