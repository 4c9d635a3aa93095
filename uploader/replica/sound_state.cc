#include "uploader/replica/sound_state.h"

#include <utility>

#include "uploader/replica/parallel.h"
#include "uploader/replica/restore.h"

namespace backstay {
namespace {

constexpr size_t kThreads = 8;
constexpr uint64_t kRoom = 16 << 20;  // bytes of objects that are under way

// How many entries of the plan lie before the first whose bytes are damaged.
Result<size_t> CountSound(const ReplicaReader& reader, const RestorePlan& plan) {
  size_t sound = plan.entries.size();
  const ParallelLimits limits{kThreads, 4 * kThreads, kRoom,
                              [&](size_t i) { return plan.entries[i].bytes(); }};
  Status read = ParallelOrdered<bool>::Run(
      plan.entries.size(), limits,
      [&](size_t i) -> Result<bool> {
        const Status fetched = FetchEntry(reader, plan.entries[i]).status();
        if (!fetched.ok() && fetched.code() != Code::kCorrupt) return fetched;
        return fetched.ok();
      },
      [&](size_t i, bool whole) -> Status {
        if (whole) return Status::Ok();
        sound = i;
        return {Code::kCancelled, "what lies behind does not count"};
      });
  if (sound == plan.entries.size() && !read.ok()) return read;
  return sound;
}

}  // namespace

Result<RestorePoint> LastSoundState(const ReplicaReader& reader,
                                    const std::vector<uint64_t>& avoid) {
  RestorePlanOptions options;
  options.avoid = avoid;
  Result<RestorePlan> plan = PlanFromReplica(reader, {RestoreTarget::Kind::kSound}, options);
  if (!plan.ok()) return plan.status();
  Result<size_t> sound = CountSound(reader, *plan);
  if (!sound.ok()) return sound.status();
  if (*sound == plan->entries.size()) {
    return RestorePoint{plan->last_segment, plan->stop_step, plan->txid, plan->time_ms};
  }
  LogPlan log;
  log.entries = std::move(plan->entries);
  log.entries.resize(*sound);
  Result<std::optional<RestorePoint>> point = FindPoint(reader, plan->snapshot, log, {});
  if (!point.ok()) return point.status();
  if (*point) return **point;
  return Status(Code::kNotFound, reader.Describe() + ": no state is left before the damage");
}

}  // namespace backstay
