// Restore: catalogue, plan and replay in one, with the second tries that they ask for.
//
// Called by the tool and by engine/, one thread. Fails as PlanRestore and Replay do; when the
// listing goes stale under it, or a snapshot proves to be damaged, it plans again (without that
// snapshot), as often as the replica has moved on, and keeps what it has. On any error the store
// holds rubbish, from which a later call can go on (`holds_pages`).

#ifndef BACKSTAY_UPLOADER_REPLICA_RESTORE_H_
#define BACKSTAY_UPLOADER_REPLICA_RESTORE_H_

#include <functional>
#include <optional>

#include "uploader/replica/replay.h"

namespace backstay {

struct RestoreOptions {
  RestoreTarget target;
  RestorePlanOptions plan;
  ReplayOptions replay;
  // Made already: the first to be replayed.
  std::optional<RestorePlan> ready;
  // Told about every plan before it is replayed; an error ends the restore.
  std::function<Status(const RestorePlan& plan)> planned;
  // Told which snapshot, by its next log number, has proven to be damaged, and is avoided since.
  std::function<void(uint64_t snapshot)> avoided = nullptr;
};

struct RestoreOutcome {
  RestorePlan plan;
  ReplayResult result;
};

// kNotFound: see LoadCatalogue and PlanRestore.
Result<RestorePlan> PlanFromReplica(const ReplicaReader& reader, const RestoreTarget& target,
                                    const RestorePlanOptions& options,
                                    const SnapshotsSeen& seen = nullptr);
// Begins with the frames that a restore to `target` will most likely begin with; null: with none.
SnapshotsSeen FetchAhead(FramesAhead* ahead, const RestoreTarget& target);
Result<RestoreOutcome> RestoreInto(const ReplicaReader& reader, const RestoreOptions& options,
                                   PageStore* store);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_RESTORE_H_
