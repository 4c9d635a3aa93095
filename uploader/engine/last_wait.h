// LastWait: how long a process that ends still waits for its replicas.
//
// Made by Engine::Drain(), used on the thread that ends the process. Whoever waits takes one slice
// of time after another, and looks in between whether another one is of use. Cannot fail.

#ifndef BACKSTAY_UPLOADER_ENGINE_LAST_WAIT_H_
#define BACKSTAY_UPLOADER_ENGINE_LAST_WAIT_H_

#include <algorithm>
#include <cstdint>

#include "uploader/base/clock.h"

namespace backstay {

class LastWait {
 public:
  LastWait(Clock* clock, int64_t timeout_ms)
      : clock_(clock), start_ms_(clock->MonotonicMs()), end_ms_(start_ms_ + timeout_ms) {}

  // The next slice, ms; 0: the wait is over.
  int64_t Next() const { return std::clamp<int64_t>(end_ms_ - clock_->MonotonicMs(), 0, kSliceMs); }
  // A replica that cannot be reached may be reached within this time, or it is not waited for.
  bool patient() const { return clock_->MonotonicMs() < start_ms_ + kUnreachableMs; }

 private:
  static constexpr int64_t kSliceMs = 100;
  static constexpr int64_t kUnreachableMs = 1000;

  Clock* const clock_;
  const int64_t start_ms_;  // monotonic
  const int64_t end_ms_;    // monotonic
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_LAST_WAIT_H_
