// RetryBucket: how often a server that fails is asked again, by all that ask it in this process: a
// token bucket. A burst of tries, then one each 200 ms; what is answered fills it up again.
//
// RetryBuckets has one for each server; the engine, or a command of the tool, makes it and hands it
// to its clients, which keep their bucket alive. Any thread. Of() alone takes memory.

#ifndef BACKSTAY_UPLOADER_STORAGE_RETRY_BUCKET_H_
#define BACKSTAY_UPLOADER_STORAGE_RETRY_BUCKET_H_

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "uploader/base/clock.h"

namespace backstay {

class RetryBucket {
 public:
  explicit RetryBucket(Clock* clock) : clock_(clock), at_ms_(clock->MonotonicMs()) {}

  // 0: a call may be tried again now, and counts; else ms until one may, if no other takes it.
  int64_t Take();
  // The server has answered, and is well.
  void Answered();

 private:
  static constexpr int64_t kEachMs = 200;
  static constexpr int64_t kBurst = 20;
  static constexpr int64_t kAnswers = 5;  // tries that an answer is worth

  void FillLocked(int64_t ms);

  Clock* const clock_;
  std::mutex mutex_;  // guards what follows
  int64_t at_ms_;     // monotonic: of what follows
  int64_t credit_ms_ = kBurst * kEachMs;
};

class RetryBuckets {
 public:
  explicit RetryBuckets(Clock* clock = RealClock()) : clock_(clock) {}

  std::shared_ptr<RetryBucket> Of(const std::string& server);

 private:
  Clock* const clock_;
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<RetryBucket>> buckets_;  // guarded by mutex_
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_RETRY_BUCKET_H_
