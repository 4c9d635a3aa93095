// Backoff: how long to wait before the next try. Full jitter: uniform between 0 and a doubling
// limit (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter), so that many writers do
// not march in step.
//
// Used by one thread. Cannot fail.

#ifndef BACKSTAY_UPLOADER_ENGINE_BACKOFF_H_
#define BACKSTAY_UPLOADER_ENGINE_BACKOFF_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>

namespace backstay {

class Backoff {
 public:
  // `random` gives 64 random bits.
  explicit Backoff(std::function<uint64_t()> random) : random_(std::move(random)) {}

  // ms to wait now; `at_least_ms` is what the server asked for. `soon`: what fails may work again
  // at any moment, and whoever waits for that is not to wait for long behind it.
  int64_t Next(int64_t at_least_ms, bool soon = false) {
    const int64_t limit = soon ? std::min(limit_ms_, kSoonMs) : limit_ms_;
    limit_ms_ = std::min(kMaxMs, limit_ms_ * 2);
    // Never 0: a server that refuses at once must not be asked in a busy loop.
    int64_t wait = kMinMs + static_cast<int64_t>(random_() % static_cast<uint64_t>(limit));
    return std::max(at_least_ms, wait);
  }
  void Reset() { limit_ms_ = kFirstMs; }

 private:
  static constexpr int64_t kMinMs = 20;
  static constexpr int64_t kFirstMs = 200;
  static constexpr int64_t kMaxMs = 15000;
  static constexpr int64_t kSoonMs = 3000;

  const std::function<uint64_t()> random_;
  int64_t limit_ms_ = kFirstMs;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_BACKOFF_H_
