// CloseBudget: how long the last closes of a process's databases may wait for the replica.
//
// One per Engine; any thread. One close waits no longer than the setting, and all of them together
// no longer than that and a fiftieth of the time that passes: a host that opens and closes its
// database for each request does not get slow. Cannot fail.

#ifndef BACKSTAY_UPLOADER_ENGINE_CLOSE_BUDGET_H_
#define BACKSTAY_UPLOADER_ENGINE_CLOSE_BUDGET_H_

#include <algorithm>
#include <cstdint>
#include <mutex>

#include "uploader/base/clock.h"

namespace backstay {

class CloseBudget {
 public:
  CloseBudget(Clock* clock, int64_t most_ms)
      : clock_(clock), most_(most_ms * kShare), left_(most_), at_ms_(clock->MonotonicMs()) {}

  // What a close may wait now, ms. 0 while so little is left that a wait would be in vain.
  int64_t Left() {
    std::lock_guard<std::mutex> lock(mutex_);
    const int64_t now = clock_->MonotonicMs();
    left_ = std::min(most_, left_ + now - at_ms_);
    at_ms_ = now;
    return left_ < std::min(most_, kLeastMs * kShare) ? 0 : left_ / kShare;
  }
  void Spent(int64_t ms) {
    std::lock_guard<std::mutex> lock(mutex_);
    left_ = std::max<int64_t>(0, left_ - ms * kShare);
  }

 private:
  static constexpr int64_t kShare = 50;
  static constexpr int64_t kLeastMs = 50;  // a round trip

  Clock* const clock_;
  const int64_t most_;
  std::mutex mutex_;
  int64_t left_;   // guarded by mutex_; ms times kShare
  int64_t at_ms_;  // guarded by mutex_; monotonic
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_CLOSE_BUDGET_H_
