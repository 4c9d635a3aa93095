// When a call that failed is tried again, and when no more: the one rule of all that asks a
// replica. Pure: time and random numbers are the caller's, who also does the waiting.
//
// The pauses have full jitter: uniform between 0 and a doubling limit
// (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter), so that many writers do not
// march in step; behind its pause a try waits until its server is to be asked again at all
// (retry_bucket.h). Each object is used by one thread. Cannot fail.

#ifndef BACKSTAY_UPLOADER_STORAGE_RETRY_POLICY_H_
#define BACKSTAY_UPLOADER_STORAGE_RETRY_POLICY_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

namespace backstay {

struct RetryLimits {
  int64_t least_ms = 20;  // never 0: a server that refuses at once is not asked in a busy loop
  int64_t first_ms = 200;
  int64_t most_ms = 15000;
  int64_t most_asked_ms = 3600 * 1000;  // of what a server asks for
  int attempts = 0;                     // in all; 0: without end
  int64_t patience_ms = 0;              // without anything from the server; 0: without end
};

// One call that failed.
struct RetryFailure {
  int64_t asked_ms = 0;   // the server wants to be left alone for so long (Retry-After)
  bool soon = false;      // it may work again at any moment, and somebody waits for that
  int64_t silent_ms = 0;  // since anything came
};

class RetryPolicy {
 public:
  // `random` gives 64 random bits.
  RetryPolicy(const RetryLimits& limits, std::function<uint64_t()> random)
      : limits_(limits), random_(std::move(random)), limit_ms_(limits.first_ms) {}

  // The pause before the next try, in ms; nullopt: it is given up.
  std::optional<int64_t> Next(const RetryFailure& failure = {});
  void Reset();

 private:
  const RetryLimits limits_;
  const std::function<uint64_t()> random_;
  int64_t limit_ms_;
  int failed_ = 0;
};

// The wait before a try.
class RetryWait {
 public:
  // `turn`: 0 when the try may be made as far as its server goes, else ms after which to ask again.
  RetryWait(int64_t pause_ms, std::function<int64_t()> turn)
      : pause_ms_(pause_ms), turn_(std::move(turn)) {}

  // ms to wait before this is called again; 0: try now.
  int64_t Next();

 private:
  static constexpr int64_t kMostMs = 60000;  // for its turn
  static constexpr int64_t kStepMs = 1000;   // its server may answer again at any moment

  int64_t pause_ms_;
  const std::function<int64_t()> turn_;
  int64_t waited_ms_ = 0;  // for its turn
};

// 64 of them, for what may be guessed. Any thread.
uint64_t RandomBits();

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_RETRY_POLICY_H_
