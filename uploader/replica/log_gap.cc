#include "uploader/replica/log_gap.h"

#include <algorithm>

#include "uploader/base/clock.h"
#include "uploader/replica/restore_plan.h"

namespace backstay {
namespace {

// The highest missing number, where `end` is none of them.
uint64_t LastMissing(const Catalogue& catalogue, uint64_t number, uint64_t end) {
  const auto single = catalogue.singles.upper_bound(number);
  if (single != catalogue.singles.end()) end = std::min(end, single->first);
  for (const PackName& pack : catalogue.packs) {
    if (pack.last > number) end = std::min(end, std::max(pack.first, number + 1));
  }
  return end - 1;
}

Result<std::optional<int64_t>> LastStateBefore(const ReplicaReader& reader,
                                               const Catalogue& catalogue,
                                               const SnapshotManifest& snapshot) {
  LogPlanOptions frugal;
  frugal.parallelism = 1;
  frugal.keep_bytes = 0;
  Result<LogPlan> log = PlanLog(reader, catalogue, StartOf(snapshot), frugal);
  if (!log.ok()) return log.status();
  const LogPlan base = OfOneBase(std::move(*log));
  Result<std::optional<RestorePoint>> point = FindPoint(reader, snapshot, base, {});
  if (!point.ok()) return point.status();
  return *point ? std::optional((*point)->time_ms) : std::nullopt;
}

}  // namespace

std::string LogGap::Told() const {
  std::string told = LogKey(first);
  told += first == last ? " is missing" : " to " + LogKey(last) + " are missing";
  const std::string behind = FormatRfc3339(to_ms);
  if (!from_ms) return told + ": no state before " + behind + " can be restored by it";
  return told + ": the states between " + FormatRfc3339(*from_ms) + " and " + behind +
         " cannot be restored; older and newer ones can";
}

Result<std::optional<LogGap>> LookAtGap(const ReplicaReader& reader, const Catalogue& catalogue,
                                        uint64_t number) {
  const SnapshotManifest* before = nullptr;
  for (const SnapshotManifest& snapshot : catalogue.snapshots) {
    if (snapshot.next_log_number <= number) {
      before = &snapshot;
      continue;
    }
    LogGap gap;
    gap.first = number;
    gap.last = LastMissing(catalogue, number, snapshot.next_log_number);
    gap.to_ms = snapshot.consistent_time_ms;
    if (before != nullptr) {
      Result<std::optional<int64_t>> from = LastStateBefore(reader, catalogue, *before);
      if (!from.ok()) return from.status();
      gap.from_ms = *from;
    }
    return std::optional(gap);
  }
  return std::optional<LogGap>();
}

}  // namespace backstay
