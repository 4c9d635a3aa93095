// Restore: catalogue, plan and replay in one, with the second tries that they ask for.
//
// Called by the tool and by engine/, one thread. Fails as PlanRestore and Replay do; when the
// listing goes stale under it, or a snapshot proves to be damaged, it plans again (without that
// snapshot). On any error the store holds rubbish.

#ifndef BACKSTAY_UPLOADER_REPLICA_RESTORE_H_
#define BACKSTAY_UPLOADER_REPLICA_RESTORE_H_

#include <functional>

#include "uploader/replica/replay.h"

namespace backstay {

struct RestoreOptions {
  RestoreTarget target;
  RestorePlanOptions plan;
  ReplayOptions replay;
  // Told about every plan before it is replayed; an error ends the restore.
  std::function<Status(const RestorePlan& plan)> planned;
};

struct RestoreOutcome {
  RestorePlan plan;
  ReplayResult result;
};

// kNotFound: see LoadCatalogue and PlanRestore.
Result<RestorePlan> PlanFromReplica(const ReplicaReader& reader, const RestoreTarget& target,
                                    const RestorePlanOptions& options);
Result<RestoreOutcome> RestoreInto(const ReplicaReader& reader, const RestoreOptions& options,
                                   PageStore* store);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_RESTORE_H_
