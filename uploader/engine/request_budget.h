// RequestBudget: a month's budget of requests, as a token bucket that holds a day's share.
//
// Owned by UploadPace, one thread; plain arithmetic that cannot fail. Counted in PUTs: what costs
// less counts for less. While more than a quarter of the day's share is left nothing is slowed, so
// that a burst behind quiet hours goes out at once; below, the time between two uploads grows
// smoothly, to twice what the budget could keep up for ever, and never beyond kMostMs. Times are
// wall clock, in ms: the state outlives the process.

#ifndef BACKSTAY_UPLOADER_ENGINE_REQUEST_BUDGET_H_
#define BACKSTAY_UPLOADER_ENGINE_REQUEST_BUDGET_H_

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace backstay {

class RequestBudget {
 public:
  static constexpr int64_t kMostMs = 30000;  // between two uploads

  // PUTs a month; 0: no limit. Begins with half a day's share.
  RequestBudget(uint64_t month, int64_t now_ms)
      : rate_(static_cast<double>(month) / kMonthMs),
        room_(rate_ * kDayMs),
        left_(room_ / 2),
        at_ms_(now_ms) {}

  bool limited() const { return room_ > 0; }
  // What an earlier process had left.
  void Restore(double left, int64_t then_ms, int64_t now_ms) {
    left_ = std::clamp(left, -room_, room_);
    at_ms_ = then_ms;
    Refill(now_ms);
  }
  void Spend(double puts, int64_t now_ms) {
    Refill(now_ms);
    left_ = std::max(left_ - puts, -room_);
  }
  double left() const { return left_; }
  // Of a day's share; 1: all of it, or there is no limit.
  double left_share() const { return limited() ? left_ / room_ : 1; }

  // Between the starts of two uploads, at least `least_ms`.
  int64_t IntervalMs(int64_t least_ms) const {
    if (!limited() || left_ >= room_ / 4) return least_ms;
    const double least = static_cast<double>(std::max<int64_t>(least_ms, 1));
    const double most = std::max(least, std::min(2 / rate_, static_cast<double>(kMostMs)));
    const double scarce = std::min(1.0, 1 - left_ / (room_ / 4));
    return std::max(least_ms, static_cast<int64_t>(least * std::pow(most / least, scarce)));
  }
  // Spent, and uploads as far apart as may be are still too many.
  bool Exceeded() const { return limited() && left_ <= 0 && 1 / rate_ > kMostMs; }

 private:
  static constexpr double kDayMs = 24 * 3600 * 1000.0;
  static constexpr double kMonthMs = 365.25 / 12 * kDayMs;

  // A clock that was set back gives nothing.
  void Refill(int64_t now_ms) {
    const double passed = std::max(0.0, static_cast<double>(now_ms) - static_cast<double>(at_ms_));
    left_ = std::min(room_, left_ + rate_ * passed);
    at_ms_ = now_ms;
  }

  double rate_;  // PUTs a ms
  double room_;  // PUTs
  double left_;  // PUTs; below 0: overdrawn
  int64_t at_ms_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_REQUEST_BUDGET_H_
