// LastWait: how long a process that ends still waits for its replicas.
//
// Made by Engine::Drain(), used on the thread that ends the process. Whoever waits takes one slice
// of time after another, and looks in between whether another one is of use. A write transaction
// that nobody goes on with holds its lock until the process is gone: others are not kept waiting
// for that. Cannot fail.

#ifndef BACKSTAY_UPLOADER_ENGINE_LAST_WAIT_H_
#define BACKSTAY_UPLOADER_ENGINE_LAST_WAIT_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "uploader/base/clock.h"

namespace backstay {

class LastWait {
 public:
  // `open`: the numbers of the write transactions that are open in this process.
  LastWait(Clock* clock, int64_t timeout_ms, std::function<std::vector<uint64_t>()> open)
      : clock_(clock),
        open_(std::move(open)),
        start_ms_(clock->MonotonicMs()),
        end_ms_(start_ms_ + timeout_ms) {}

  // The next slice, ms; 0: the wait is over.
  int64_t Next() {
    const int64_t now = clock_->MonotonicMs();
    if (now >= look_at_ms_) Look(now);
    return std::clamp<int64_t>(end_ms_ - now, 0, kSliceMs);
  }
  // A replica that cannot be reached may be reached within this time, or it is not waited for.
  bool patient() const { return clock_->MonotonicMs() < start_ms_ + kUnreachableMs; }

 private:
  static constexpr int64_t kSliceMs = 100;
  static constexpr int64_t kUnreachableMs = 1000;

  // One that was open at the last look as well belongs to no thread that goes on with it.
  void Look(int64_t now) {
    std::vector<uint64_t> seen = open_();
    const bool stays = std::any_of(seen.begin(), seen.end(), [this](uint64_t number) {
      return std::find(seen_.begin(), seen_.end(), number) != seen_.end();
    });
    if (stays) end_ms_ = std::min(end_ms_, now);
    seen_ = std::move(seen);
    look_at_ms_ = now + kSliceMs;
  }

  Clock* const clock_;
  const std::function<std::vector<uint64_t>()> open_;
  const int64_t start_ms_;  // monotonic
  int64_t end_ms_;          // monotonic
  int64_t look_at_ms_ = 0;  // monotonic
  std::vector<uint64_t> seen_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_LAST_WAIT_H_
