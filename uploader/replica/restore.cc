#include "uploader/replica/restore.h"

#include <tuple>
#include <utility>

namespace backstay {

Result<RestorePlan> PlanFromReplica(const ReplicaReader& reader, const RestoreTarget& target,
                                    const RestorePlanOptions& options, const SnapshotsSeen& seen) {
  const auto look = [&](const Catalogue& catalogue) {
    return PlanRestore(reader, catalogue, target, options);
  };
  return LookAtReplica(reader, options.log.parallelism, look, seen);
}

SnapshotsSeen FetchAhead(FramesAhead* ahead, const RestoreTarget& target) {
  if (ahead == nullptr) return nullptr;
  return [=](const std::vector<SnapshotManifest>& snapshots) {
    const SnapshotManifest* first = FirstToTry(snapshots, target);
    if (first != nullptr) ahead->Begin(*first);
  };
}

namespace {

// Whether a replica that moves has moved on: else somebody else is at fault.
class Moves {
 public:
  // False: it stands still, and is stale all the same.
  bool Note(const RestorePlan& plan) {
    const auto at = std::tuple(plan.snapshot.next_log_number, plan.next_log_number, plan.LogBytes(),
                               plan.entries.size());
    still_ = at == at_ ? still_ + 1 : 1;
    at_ = at;
    return still_ < kMaxLooks;
  }

 private:
  std::tuple<uint64_t, uint64_t, uint64_t, size_t> at_{};
  int still_ = 0;
};

}  // namespace

Result<RestoreOutcome> RestoreInto(const ReplicaReader& reader, const RestoreOptions& options,
                                   PageStore* store) {
  RestorePlanOptions plan_options = options.plan;
  ReplayOptions replay = options.replay;
  std::optional<RestorePlan> first = options.ready;
  Moves moves;
  Status damage;
  SnapshotsSeen seen = FetchAhead(replay.ahead, options.target);
  if (!replay.holds_pages) BACKSTAY_TRY(store->Truncate(0));
  while (true) {
    Result<RestorePlan> plan = first ? Result<RestorePlan>(std::move(*first))
                                     : PlanFromReplica(reader, options.target, plan_options, seen);
    first.reset();
    seen = nullptr;
    if (!plan.ok()) return damage.ok() ? plan.status() : damage;
    if (!damage.ok()) plan->damages.push_back("snapshot left aside: " + damage.message());
    if (options.planned) BACKSTAY_TRY(options.planned(*plan));
    bool snapshot_damaged = false;
    Result<ReplayResult> result = Replay(reader, *plan, store, replay, &snapshot_damaged);
    if (result.ok()) return RestoreOutcome{std::move(*plan), std::move(*result)};
    if (replay.ahead != nullptr) replay.ahead->Drop();
    if (snapshot_damaged) {
      damage = result.status();
      plan_options.avoid.push_back(plan->snapshot.next_log_number);
      if (options.avoided) options.avoided(plan->snapshot.next_log_number);
    } else if (!ListingIsStale(result.status()) || !moves.Note(*plan)) {
      return result.status();
    }
    // What is there and right stays.
    replay.holds_pages = true;
  }
}

}  // namespace backstay
