// Jobs, retention: deletes from the replica what no restore point inside the window needs. It looks
// behind a pack or snapshot, and then at the moment when the next snapshot grows older than the
// window, so that an idle database causes no request in between.

#include <algorithm>
#include <limits>

#include "uploader/base/clock.h"
#include "uploader/engine/gap_words.h"
#include "uploader/engine/jobs.h"
#include "uploader/replica/retention.h"

namespace backstay {
namespace {

constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
constexpr int64_t kFailedPauseMs = 3600 * 1000;

RetryOptions Once() {
  RetryOptions once;
  once.attempts = 1;
  return once;
}

}  // namespace

bool Jobs::PruneDue() const {
  return core_->retention_ms.load() > 0 && core_->options.clock->WallMs() >= prune_at_ms_.load();
}

// `base_time_ms`: of the snapshot that was made; nullopt: it was a pack.
void Jobs::ReplicaGrew(std::optional<int64_t> base_time_ms) {
  const int64_t due = base_time_ms ? *base_time_ms + core_->retention_ms.load() : kNever;
  prune_at_ms_ = prune_known_ ? std::min(prune_at_ms_.load(), due) : 0;
}

Status Jobs::Prune() {
  const int64_t window_ms = core_->retention_ms.load();
  const ReplicaReader reader(core_->options.client, Once());
  prune_known_ = true;
  prune_at_ms_ = core_->options.clock->WallMs() + kFailedPauseMs;
  RetentionPlan plan;
  BACKSTAY_TRY(Persist([&]() -> Status {
    Result<Catalogue> catalogue = LoadCatalogue(reader, 1);
    if (!catalogue.ok()) return catalogue.status();
    BACKSTAY_TRY(core_->CheckOwn(catalogue->identity));
    Result<RetentionPlan> planned =
        PlanRetention(reader, *catalogue, core_->options.clock->WallMs() - window_ms);
    if (planned.ok()) plan = std::move(*planned);
    Status status = planned.status();
    if (status.code() != Code::kCorrupt) return status;
    return {Code::kCorrupt, status.message() + core_->DamageRemedy()};
  }));
  if (plan.gap) TellGap(core_, *plan.gap);
  for (const std::vector<std::string>& keys : plan.batches) {
    Status deleted = Persist([&] { return core_->options.client->Delete(keys); });
    if (deleted.code() == Code::kDenied) {
      return deleted.Wrap("old objects cannot be deleted; allow it, or set retention to off");
    }
    BACKSTAY_TRY(deleted);
  }
  prune_at_ms_ = plan.next_ms ? *plan.next_ms + window_ms : kNever;
  if (plan.objects == 0) return Status::Ok();
  core_->Log(Level::kInfo, "retention: deleted " + std::to_string(plan.objects) + " objects, " +
                               std::to_string(plan.bytes) + " bytes; states from " +
                               FormatRfc3339(plan.base->consistent_time_ms) +
                               " on can be restored");
  TellGapsGone(core_, plan.base->next_log_number);
  return Status::Ok();
}

}  // namespace backstay
