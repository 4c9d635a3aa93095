// ReplicaReader: reads of one replica, tried again while that can help.
//
// Does not own the client. Any thread, several at once. A retryable error is tried again with
// growing delays, at most `attempts` times in all; what remains is returned as it came, or, where
// nothing has come from the replica for all the patience there is, as final (kUnavailable).

#ifndef BACKSTAY_UPLOADER_REPLICA_READER_H_
#define BACKSTAY_UPLOADER_REPLICA_READER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "uploader/base/status.h"
#include "uploader/storage/replica_client.h"
#include "uploader/storage/retry_policy.h"

namespace backstay {

struct RetryOptions {
  int attempts = 6;
  int64_t least_delay_ms = 200;
  int64_t patience_ms = 60000;
  std::string remedy;                     // when that is over
  std::function<void(int64_t ms)> sleep;  // empty: the calling thread sleeps
  std::function<uint64_t()> random = RandomBits;
};

class ReplicaReader {
 public:
  explicit ReplicaReader(ReplicaClient* client, RetryOptions retry = {})
      : client_(client), retry_(std::move(retry)) {}

  std::string Describe() const { return client_->Describe(); }
  Result<std::string> Get(const std::string& key, const GetOptions& options = {}) const;
  // Exactly `length` bytes at `offset`; fewer is kCorrupt.
  Result<std::string> GetRange(const std::string& key, uint64_t offset, uint64_t length) const;
  Result<std::vector<ObjectInfo>> List(const ListOptions& options) const;

 private:
  template <typename T>
  Result<T> Retry(const std::function<Result<T>()>& call) const;
  RetryPolicy Policy() const;
  void Wait(int64_t pause_ms) const;
  // Since when nothing has come; a call that began at `began_ms` has just failed.
  int64_t SinceMs(int64_t began_ms) const;
  Status GivenUp(const Status& failed, int64_t ms) const;

  ReplicaClient* const client_;
  const RetryOptions retry_;
  mutable std::atomic<int64_t> failing_ms_{0};  // monotonic: since when calls fail; 0: they do not
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_READER_H_
