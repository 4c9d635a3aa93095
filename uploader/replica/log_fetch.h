// LogFetch: the log objects of a plan, neighbours in one pack with one request.
//
// Called by a replay and by who follows a log; keeps references to both arguments. Fetch() on any
// thread, several at once; Use() on one. Batches count from 0, in the order of the log. Fails with
// kCorrupt where every source of an object is damaged, kUnavailable where one has moved since it
// was planned, the client's error, or that of `use`.

#ifndef BACKSTAY_UPLOADER_REPLICA_LOG_FETCH_H_
#define BACKSTAY_UPLOADER_REPLICA_LOG_FETCH_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "uploader/format/log_object.h"
#include "uploader/replica/log_plan.h"
#include "uploader/replica/reader.h"

namespace backstay {

class LogFetch {
 public:
  using Body = std::shared_ptr<const std::string>;
  using Taker = std::function<Status(const LogEntry& entry, const LogObject& object)>;

  // `batch_bytes`: of neighbours, per request.
  LogFetch(const ReplicaReader& reader, const std::vector<LogEntry>& entries, uint64_t batch_bytes);

  size_t batches() const { return batches_.size(); }
  size_t requests() const;
  // Bytes to be fetched.
  uint64_t Cost(size_t batch) const;
  // Damaged or cut short, perhaps: Use() finds another source.
  Result<Body> Fetch(size_t batch) const;
  // Its objects, one after the other.
  Status Use(size_t batch, const std::string& body, const Taker& take) const;

 private:
  struct Batch {
    size_t first = 0;  // index of the entry
    size_t count = 0;
    LogSource source;
  };
  // The plan holds its only object.
  bool Kept(const Batch& batch) const { return batch.count == 1 && entries_[batch.first].body; }

  const ReplicaReader& reader_;
  const std::vector<LogEntry>& entries_;
  std::vector<Batch> batches_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_LOG_FETCH_H_
