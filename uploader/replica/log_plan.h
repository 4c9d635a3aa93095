// LogPlan: the log from a given object number to its end, as an ordered list of objects.
//
// Singles under log/ and ranges of packs become one sequence: a number that a pack covers is read
// from the pack, void objects are left out, numbers that LIST did not show are probed. One thread;
// requests overlap inside. Packs are known by their index alone (one ranged GET of at most 64 KiB
// as a rule); singles are read whole and, up to `keep_bytes`, kept.
//
// The plan ends where the log can no longer be followed. If more of the log lies beyond, `damage`
// says what is wrong and where; it is no error of the call. The call fails with kUnavailable
// (retryable) when the listing went stale while it was used (packing, retention): read the
// catalogue again. Otherwise with kNewer or the client's error.

#ifndef BACKSTAY_UPLOADER_REPLICA_LOG_PLAN_H_
#define BACKSTAY_UPLOADER_REPLICA_LOG_PLAN_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "uploader/format/log_object.h"
#include "uploader/format/pack.h"
#include "uploader/replica/catalogue.h"
#include "uploader/replica/reader.h"

namespace backstay {

// Where the bytes of a log object are: a whole object, or a range of a pack.
struct LogSource {
  std::string key;
  uint64_t offset = 0;  // bytes
  uint64_t length = 0;  // bytes
};

struct LogEntry {
  LogHeader header;
  std::vector<SegmentInfo> segments;
  std::vector<LogSource> sources;           // tried in this order; at least one
  std::shared_ptr<const std::string> body;  // when it was kept
  uint64_t bytes() const { return sources.front().length; }
};

struct LogDamage {
  uint64_t number = 0;  // of the first log object that cannot be used
  std::string what;     // names the object
};

struct LogStart {
  uint64_t number = 1;          // first object
  uint64_t epoch = 0;           // objects of a lower one are void
  uint64_t segment_number = 0;  // last segment that is known already
  uint64_t segment_hash = 0;    // of that segment
  uint64_t txid = 0;            // last transaction before it
};
LogStart StartOf(const SnapshotManifest& manifest);

struct LogPlan {
  std::vector<LogEntry> entries;  // in order, none void
  uint64_t next_number = 1;       // the first that does not exist or cannot be used
  uint64_t epoch = 0;             // highest seen
  uint64_t txid = 0;              // last transaction number that is taken
  // Index of the first entry that says that the database has another page size from there on.
  std::optional<size_t> base_end;
  std::optional<LogDamage> damage;
};

struct LogPlanOptions {
  size_t parallelism = 8;          // requests at a time, where there is room
  uint64_t keep_bytes = 16 << 20;  // of singles, in memory
  uint64_t room = 16 << 20;        // bytes of singles that are under way
};

Result<LogPlan> PlanLog(const ReplicaReader& reader, const Catalogue& catalogue,
                        const LogStart& start, const LogPlanOptions& options);

// The part of the plan that goes with its start: it ends where the database got another page size.
LogPlan OfOneBase(LogPlan plan);

// Where whoever goes on with the log continues.
struct LogEnd {
  uint64_t segment_number = 0;
  uint64_t segment_hash = 0;
  uint64_t txid = 0;
  int64_t time_ms = 0;  // 0: not known
  bool open = false;    // its last transaction has not ended
};
// Of a plan without damage, one request at most.
Result<LogEnd> EndOf(const ReplicaReader& reader, const LogStart& start, const LogPlan& plan);

// The object's bytes, checked against the plan, from the first source that has them. kCorrupt when
// every source is damaged, kUnavailable when the object has moved since it was planned.
Result<std::shared_ptr<const std::string>> FetchEntry(const ReplicaReader& reader,
                                                      const LogEntry& entry);
// kCorrupt unless `body` is the object that was planned.
Status CheckEntry(const LogEntry& entry, Bytes body);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_LOG_PLAN_H_
