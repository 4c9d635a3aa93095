// RestorePlan: which snapshot and which part of the log make the state that was asked for.
//
// Called by the tool (and by engine/ to read back what a replica holds), one thread. The plan is
// complete: nothing in it depends on what replay finds, except damage. Never stops in the middle of
// a transaction.
//
// Fails with kNotFound when there is no replica or no restore point that fits (the message gives
// the range), kCorrupt when what was asked for lies behind damage (the message says what can still
// be had), kNewer, or the client's error.

#ifndef BACKSTAY_UPLOADER_REPLICA_RESTORE_PLAN_H_
#define BACKSTAY_UPLOADER_REPLICA_RESTORE_PLAN_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "uploader/replica/catalogue.h"
#include "uploader/replica/log_plan.h"
#include "uploader/replica/reader.h"

namespace backstay {

struct RestoreTarget {
  enum class Kind {
    kLatest,
    kTxid,
    kTime,
    kSound,  // the last before the first damage of the log that shows without reading packs
  };
  Kind kind = Kind::kLatest;
  uint64_t txid = 0;    // kTxid: the last transaction up to and including it
  int64_t time_ms = 0;  // kTime: the last transaction at or before it
};

struct RestorePlan {
  Identity identity;
  SnapshotManifest snapshot;
  std::vector<LogEntry> entries;  // to be replayed, in order
  // The last segment to apply, 0 when the snapshot alone is the state, and in it the steps to
  // apply; all of them when `stop_step` is empty.
  uint64_t last_segment = 0;
  std::optional<size_t> stop_step;
  uint64_t txid = 0;    // of the restored state
  int64_t time_ms = 0;  // of that transaction
  // No whole transaction lies behind the state; the beginning of one may, from next_log_number on.
  bool at_end = false;
  uint64_t epoch = 0;            // highest in the log
  uint64_t next_log_number = 1;  // the first behind what is replayed
  uint64_t void_below = 0;       // from that number on, objects of a lower epoch are void
  // At the end of a log in which the database has another page size by now, without a snapshot that
  // has it: who goes on from this state does so there, and states its own page size again.
  std::optional<LogEnd> left;
  std::vector<std::string> damages;   // that were gone round: newer snapshots which lead there, too
  std::vector<std::string> warnings;  // what else is to be known

  // Both.
  std::vector<std::string> Told() const;
  uint64_t SnapshotBytes() const;  // to be downloaded
  uint64_t LogBytes() const;
  // Of both, without what was kept when the log was read.
  uint64_t BytesToFetch() const;
};

struct RestorePlanOptions {
  LogPlanOptions log;
  std::vector<uint64_t> avoid;  // snapshots (by next log number) that were found to be damaged
};

// Of the finished ones, ascending, the one that a plan tries first: its log tells whether it is
// used. Null: none may lead there.
const SnapshotManifest* FirstToTry(const std::vector<SnapshotManifest>& snapshots,
                                   const RestoreTarget& target);

Result<RestorePlan> PlanRestore(const ReplicaReader& reader, const Catalogue& catalogue,
                                const RestoreTarget& target, const RestorePlanOptions& options);

// The last committed state that the snapshot and the log behind it lead to; nullopt when the log
// does not reach the snapshot's consistent transaction.
struct RestorePoint {
  uint64_t segment = 0;  // as RestorePlan::last_segment
  std::optional<size_t> stop_step;
  uint64_t txid = 0;
  int64_t time_ms = 0;
};
Result<std::optional<RestorePoint>> FindPoint(const ReplicaReader& reader,
                                              const SnapshotManifest& snapshot, const LogPlan& log,
                                              const RestoreTarget& target);

// Of the database in the state that the plan leads to, or at the end of its last log object; 0 when
// that cannot be read. One request, where the object was not kept.
uint32_t PagesOf(const ReplicaReader& reader, const RestorePlan& plan);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_RESTORE_PLAN_H_
