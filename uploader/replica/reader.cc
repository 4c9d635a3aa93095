#include "uploader/replica/reader.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>

#include "uploader/base/clock.h"

namespace backstay {
namespace {

constexpr int kMostRounds = 64;  // of `attempts` each, for one range
constexpr int64_t kMostDelayMs = 10000;

}  // namespace

RetryPolicy ReplicaReader::Policy() const {
  return {{.least_ms = retry_.least_delay_ms,
           .first_ms = 2 * retry_.least_delay_ms,
           .most_ms = kMostDelayMs,
           .most_asked_ms = kMostDelayMs,
           .attempts = retry_.attempts,
           .patience_ms = retry_.patience_ms},
          retry_.random};
}

void ReplicaReader::Wait(int64_t pause_ms) const {
  RetryWait wait(pause_ms, [this] { return client_->RetryTurnMs(); });
  while (const int64_t ms = wait.Next()) {
    if (retry_.sleep) {
      retry_.sleep(ms);
    } else {
      std::this_thread::sleep_for(std::chrono::milliseconds(ms));
    }
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
  RetryPolicy policy = Policy();
  for (;;) {
    const int64_t began = RealClock()->MonotonicMs();
    Result<T> got = call();
    if (got.ok() || !got.error().retryable()) {
      failing_ms_ = 0;
      return got;
    }
    const int64_t without = RealClock()->MonotonicMs() - SinceMs(began);
    const std::optional<int64_t> pause =
        policy.Next({.asked_ms = client_->RetryAfterMs(), .silent_ms = without});
    if (!pause && without >= retry_.patience_ms) return GivenUp(got.status(), without);
    if (!pause) return got;
    Wait(*pause);
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
    Wait(retry_.least_delay_ms);
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
