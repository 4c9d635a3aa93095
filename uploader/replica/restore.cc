#include "uploader/replica/restore.h"

#include <utility>

namespace backstay {
namespace {

// How often a moving replica is looked at again: packing and retention run hours apart.
constexpr int kAttempts = 4;

bool Stale(const Status& status) {
  return status.code() == Code::kUnavailable && status.retryable();
}

Result<RestorePlan> PlanOnce(const ReplicaReader& reader, const RestoreTarget& target,
                             const RestorePlanOptions& options) {
  Result<Catalogue> catalogue = LoadCatalogue(reader, options.log.parallelism);
  if (!catalogue.ok()) return catalogue.status();
  return PlanRestore(reader, *catalogue, target, options);
}

}  // namespace

Result<RestorePlan> PlanFromReplica(const ReplicaReader& reader, const RestoreTarget& target,
                                    const RestorePlanOptions& options) {
  for (int attempt = 1;; ++attempt) {
    Result<RestorePlan> plan = PlanOnce(reader, target, options);
    if (plan.ok() || !Stale(plan.status()) || attempt == kAttempts) return plan;
  }
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
    } else if (!Stale(result.status()) || ++stale == kAttempts) {
      return result.status();
    }
  }
}

}  // namespace backstay
