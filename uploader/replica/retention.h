// Retention: which objects of a replica no restore point inside the window needs.
//
// Every state from `keep_after_ms` on is rebuilt from one snapshot and the log behind it: the
// newest snapshot that was whole by then. What is older than that snapshot goes; the newest pack
// and the takeover objects stay, because they tell a stale writer how far the log has come. A
// replica that is damaged from there on is left alone; where all that is wrong is a gap that a
// newer snapshot has left behind, until that snapshot is the one.
//
// Called by engine/ and the tool, one thread. Planning only reads: kCorrupt for a replica that must
// not be pruned, else the client's error. The caller deletes, and may end anywhere: what is left is
// found the next time.

#ifndef BACKSTAY_UPLOADER_REPLICA_RETENTION_H_
#define BACKSTAY_UPLOADER_REPLICA_RETENTION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "uploader/replica/catalogue.h"
#include "uploader/replica/log_gap.h"
#include "uploader/replica/reader.h"

namespace backstay {

struct RetentionPlan {
  // The snapshot that the oldest state kept rests on; nullopt: none is old enough, nothing goes.
  std::optional<SnapshotManifest> base;
  // Keys to delete. Those of a batch go only when the ones before are gone: a snapshot loses its
  // manifest first, a pack outlives the single objects that it covers.
  std::vector<std::vector<std::string>> batches;
  uint64_t objects = 0;
  uint64_t bytes = 0;
  // When keep_after_ms gets here, a newer snapshot takes the base's place; nullopt: there is none.
  std::optional<int64_t> next_ms;
  // Nothing goes before the snapshot behind it takes the base's place.
  std::optional<LogGap> gap;
};

// `keep_after_ms`: wall clock, the beginning of the window.
Result<RetentionPlan> PlanRetention(const ReplicaReader& reader, const Catalogue& catalogue,
                                    int64_t keep_after_ms);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_RETENTION_H_
