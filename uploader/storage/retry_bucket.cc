#include "uploader/storage/retry_bucket.h"

#include <algorithm>

namespace backstay {

void RetryBucket::FillLocked(int64_t ms) {
  credit_ms_ = std::min(credit_ms_ + ms, kBurst * kEachMs);
}

int64_t RetryBucket::Take() {
  const int64_t now = clock_->MonotonicMs();
  std::lock_guard<std::mutex> lock(mutex_);
  FillLocked(std::max<int64_t>(now - at_ms_, 0));
  at_ms_ = std::max(at_ms_, now);
  if (credit_ms_ < kEachMs) return kEachMs - credit_ms_;
  credit_ms_ -= kEachMs;
  return 0;
}

void RetryBucket::Answered() {
  std::lock_guard<std::mutex> lock(mutex_);
  FillLocked(kAnswers * kEachMs);
}

std::shared_ptr<RetryBucket> RetryBuckets::Of(const std::string& server) {
  std::lock_guard<std::mutex> lock(mutex_);
  std::shared_ptr<RetryBucket>& bucket = buckets_[server];
  if (bucket == nullptr) bucket = std::make_shared<RetryBucket>(clock_);
  return bucket;
}

}  // namespace backstay
