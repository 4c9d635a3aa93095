#include "uploader/replica/reader.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "uploader/base/clock.h"

namespace backstay {
namespace {

constexpr int kMostRounds = 64;  // of `attempts` each, for one range

}  // namespace

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

// What had come when a call failed is the beginning of what the next one brings, unless the object
// was replaced meanwhile, as a replica that is copied to its place anew may be.
Result<std::string> ReplicaReader::GetRange(const std::string& key, uint64_t offset,
                                            uint64_t length) const {
  std::string have;
  std::string etag;  // of the object that it is of
  const auto rest = [&]() -> Result<std::string> {
    ObjectPart part;
    GetOptions options;
    options.offset = static_cast<int64_t>(offset + have.size());
    options.length = length - have.size();
    options.max_bytes = options.length;
    options.part = &part;
    Result<std::string> body = client_->Get(key, options);
    if (body.ok() && have.empty()) return body;
    const bool same = part.etag.empty() || part.etag == etag;
    if (!same) etag = part.etag;
    if (!same && !have.empty()) {
      have.clear();
      return Status(Code::kUnavailable, key + ": was replaced while it was read", true);
    }
    have += body.ok() ? *body : part.bytes;
    return body.ok() || have.size() == length ? Result<std::string>(std::move(have)) : body;
  };
  size_t before = 0;
  Result<std::string> body = Retry<std::string>(rest);
  // One that gets on is not given up, unless it does in steps that come to nothing.
  for (int rounds = 1; !body.ok() && body.error().retryable() && have.size() > before; ++rounds) {
    if (rounds == kMostRounds) return body;
    before = have.size();
    Wait(0);
    body = Retry<std::string>(rest);
  }
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
