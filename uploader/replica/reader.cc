#include "uploader/replica/reader.h"

#include <algorithm>
#include <chrono>
#include <thread>

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

Result<std::string> ReplicaReader::Get(const std::string& key, const GetOptions& options) const {
  for (int attempt = 0;; ++attempt) {
    Result<std::string> body = client_->Get(key, options);
    if (body.ok()) return body;
    if (!body.error().retryable() || attempt + 1 >= retry_.attempts) {
      return body;
    }
    Wait(attempt);
  }
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
  for (int attempt = 0;; ++attempt) {
    Result<std::vector<ObjectInfo>> list = client_->List(options);
    if (list.ok()) return list;
    if (!list.error().retryable() || attempt + 1 >= retry_.attempts) {
      return list;
    }
    Wait(attempt);
  }
}

}  // namespace backstay
