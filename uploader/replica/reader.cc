#include "uploader/replica/reader.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "uploader/base/clock.h"

namespace backstay {

void ReplicaReader::Wait(int attempt) const {
  int64_t delay = std::min(retry_.first_delay_ms << std::min(attempt, 20), retry_.max_delay_ms);
  delay = std::max(delay, std::min(client_->RetryAfterMs(), retry_.max_delay_ms));
  if (retry_.sleep) {
    retry_.sleep(delay);
  } else {
    std::this_thread::sleep_for(std::chrono::milliseconds(delay));
  }
}

// Calls of several threads: what comes to one of them is progress of all.
int64_t ReplicaReader::SinceMs(int64_t began_ms) const {
  int64_t since = 0;
  if (failing_ms_.compare_exchange_strong(since, began_ms)) since = began_ms;
  return std::max(since, client_->ReceivedMs());
}

Status ReplicaReader::GivenUp(const Status& failed, int64_t ms) const {
  return {Code::kUnavailable, failed.message() +
                                  "; given up: nothing has come from the replica for " +
                                  std::to_string((ms + 500) / 1000) + " s" + retry_.remedy};
}

template <typename T>
Result<T> ReplicaReader::Retry(const std::function<Result<T>()>& call) const {
  for (int attempt = 0;; ++attempt) {
    const int64_t began = RealClock()->MonotonicMs();
    Result<T> got = call();
    if (got.ok() || !got.error().retryable()) {
      failing_ms_ = 0;
      return got;
    }
    const int64_t without = RealClock()->MonotonicMs() - SinceMs(began);
    if (without >= retry_.patience_ms) return GivenUp(got.status(), without);
    if (attempt + 1 >= retry_.attempts) return got;
    Wait(attempt);
  }
}

Result<std::string> ReplicaReader::Get(const std::string& key, const GetOptions& options) const {
  return Retry<std::string>([&] { return client_->Get(key, options); });
}

Result<std::string> ReplicaReader::GetRange(const std::string& key, uint64_t offset,
                                            uint64_t length) const {
  GetOptions options;
  options.offset = static_cast<int64_t>(offset);
  options.length = length;
  options.max_bytes = length;
  Result<std::string> body = Get(key, options);
  if (body.ok() && body->size() != length) {
    return Status(Code::kCorrupt, client_->Describe() + "/" + key + ": ends before byte " +
                                      std::to_string(offset + length));
  }
  return body;
}

Result<std::vector<ObjectInfo>> ReplicaReader::List(const ListOptions& options) const {
  return Retry<std::vector<ObjectInfo>>([&] { return client_->List(options); });
}

}  // namespace backstay
