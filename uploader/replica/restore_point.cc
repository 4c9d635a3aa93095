#include <algorithm>

#include "uploader/replica/restore_plan.h"

namespace backstay {
namespace {

using Kind = RestoreTarget::Kind;

// A transaction of this number and time may be part of the state.
bool Within(const RestoreTarget& target, uint64_t txid, int64_t time_ms) {
  if (target.kind == Kind::kTxid) return txid <= target.txid;
  if (target.kind == Kind::kTime) return time_ms <= target.time_ms;
  return true;
}

// The last step of `segment` that ends transactions and is within the target.
std::optional<RestorePoint> PointInside(const Segment& segment, const RestoreTarget& target) {
  std::optional<RestorePoint> point;
  uint64_t txid = segment.header().first_txid - 1;
  for (size_t i = 0; i < segment.steps().size(); ++i) {
    const SegmentStep& step = segment.steps()[i];
    txid += step.transactions;
    if (step.transactions == 0 || !Within(target, txid, step.time_ms)) continue;
    point = RestorePoint{segment.header().number, i, txid, step.time_ms};
  }
  if (point && *point->stop_step + 1 == segment.steps().size()) point->stop_step.reset();
  return point;
}

Result<std::optional<RestorePoint>> LookInside(const ReplicaReader& reader, const LogEntry& entry,
                                               uint64_t number, const RestoreTarget& target) {
  Result<std::shared_ptr<const std::string>> body = FetchEntry(reader, entry);
  if (!body.ok()) return body.status();
  Result<LogObject> object = ParseLogObject(AsBytes(**body), entry.header.number);
  if (!object.ok()) return object.status();
  for (const Segment& segment : object->segments) {
    if (segment.header().number == number) return PointInside(segment, target);
  }
  return std::optional<RestorePoint>();
}

}  // namespace

uint32_t PagesOf(const ReplicaReader& reader, const RestorePlan& plan) {
  for (auto entry = plan.entries.rbegin(); entry != plan.entries.rend(); ++entry) {
    if (entry->segments.empty()) continue;
    auto body = FetchEntry(reader, *entry);
    if (!body.ok()) return 0;
    Result<LogObject> object = ParseLogObject(AsBytes(**body), entry->header.number);
    return object.ok() ? object->segments.back().steps().back().pages : 0;
  }
  return plan.snapshot.pages;
}

Result<std::optional<RestorePoint>> FindPoint(const ReplicaReader& reader,
                                              const SnapshotManifest& snapshot, const LogPlan& log,
                                              const RestoreTarget& target) {
  std::optional<RestorePoint> point;
  for (auto entry = log.entries.rbegin(); entry != log.entries.rend() && !point; ++entry) {
    for (auto info = entry->segments.rbegin(); info != entry->segments.rend() && !point; ++info) {
      if (info->number <= snapshot.segment_number || info->transactions == 0) continue;
      // Its first transaction at the earliest; whether that one fits, only its steps tell.
      if (!Within(target, info->first_txid, info->first_time_ms)) continue;
      if (!info->more() && Within(target, info->last_txid(), info->last_time_ms)) {
        point = RestorePoint{info->number, std::nullopt, info->last_txid(), info->last_time_ms};
        continue;
      }
      Result<std::optional<RestorePoint>> inside = LookInside(reader, *entry, info->number, target);
      if (!inside.ok()) return inside.status();
      point = *inside;
    }
  }
  if (point && point->txid >= snapshot.consistent_txid) return point;
  const bool alone = snapshot.start_txid == snapshot.consistent_txid;
  if (!alone || !Within(target, snapshot.consistent_txid, snapshot.consistent_time_ms)) {
    return std::optional<RestorePoint>();
  }
  return std::optional(
      RestorePoint{0, std::nullopt, snapshot.consistent_txid, snapshot.consistent_time_ms});
}

}  // namespace backstay
