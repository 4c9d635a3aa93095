#include "uploader/storage/retry_policy.h"

#include <openssl/rand.h>

#include <algorithm>

#include "uploader/base/clock.h"

namespace backstay {
namespace {

constexpr int64_t kSoonMs = 3000;

}  // namespace

std::optional<int64_t> RetryPolicy::Next(const RetryFailure& failure) {
  ++failed_;
  if (limits_.attempts > 0 && failed_ >= limits_.attempts) return std::nullopt;
  if (limits_.patience_ms > 0 && failure.silent_ms >= limits_.patience_ms) return std::nullopt;
  const int64_t limit = failure.soon ? std::min(limit_ms_, kSoonMs) : limit_ms_;
  limit_ms_ = std::min(limits_.most_ms, limit_ms_ * 2);
  const int64_t pause =
      limits_.least_ms + static_cast<int64_t>(random_() % static_cast<uint64_t>(limit));
  return std::max(pause, std::min(failure.asked_ms, limits_.most_asked_ms));
}

void RetryPolicy::Reset() {
  limit_ms_ = limits_.first_ms;
  failed_ = 0;
}

int64_t RetryWait::Next() {
  if (pause_ms_ > 0) return std::exchange(pause_ms_, 0);
  if (waited_ms_ >= kMostMs) return 0;
  const int64_t step = std::min({turn_(), kStepMs, kMostMs - waited_ms_});
  waited_ms_ += step;
  return step;
}

uint64_t RandomBits() {
  uint64_t bits = 0;
  // Never seen to fail; if it does, the clock is still different in every process.
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&bits), sizeof bits) != 1) {
    bits = static_cast<uint64_t>(RealClock()->WallMs()) * 0x9e3779b97f4a7c15ULL;
  }
  return bits;
}

}  // namespace backstay
