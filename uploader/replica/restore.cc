#include "uploader/replica/restore.h"

#include <utility>

namespace backstay {

Result<RestorePlan> PlanFromReplica(const ReplicaReader& reader, const RestoreTarget& target,
                                    const RestorePlanOptions& options) {
  return LookAtReplica(reader, options.log.parallelism, [&](const Catalogue& catalogue) {
    return PlanRestore(reader, catalogue, target, options);
  });
}

Result<RestoreOutcome> RestoreInto(const ReplicaReader& reader, const RestoreOptions& options,
                                   PageStore* store) {
  RestorePlanOptions plan_options = options.plan;
  int stale = 0;
  Status damage;
  while (true) {
    Result<RestorePlan> plan = PlanFromReplica(reader, options.target, plan_options);
    if (!plan.ok()) return damage.ok() ? plan.status() : damage;
    if (!damage.ok()) plan->warnings.push_back("snapshot left aside: " + damage.message());
    if (options.planned) BACKSTAY_TRY(options.planned(*plan));
    BACKSTAY_TRY(store->Truncate(0));
    bool snapshot_damaged = false;
    Result<ReplayResult> result = Replay(reader, *plan, store, options.replay, &snapshot_damaged);
    if (result.ok()) return RestoreOutcome{std::move(*plan), std::move(*result)};
    if (snapshot_damaged) {
      damage = result.status();
      plan_options.avoid.push_back(plan->snapshot.next_log_number);
    } else if (!ListingIsStale(result.status()) || ++stale == kMaxLooks) {
      return result.status();
    }
  }
}

}  // namespace backstay
