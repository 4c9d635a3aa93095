#include "uploader/replica/restore_plan.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "uploader/base/clock.h"

namespace backstay {
namespace {

using Kind = RestoreTarget::Kind;

std::string Describe(uint64_t txid, int64_t time_ms) {
  return "transaction " + std::to_string(txid) + " (" + FormatRfc3339(time_ms) + ")";
}

bool Reaches(const SnapshotManifest& snapshot, const RestoreTarget& target) {
  if (target.kind == Kind::kTxid) return snapshot.consistent_txid <= target.txid;
  if (target.kind == Kind::kTime) return snapshot.consistent_time_ms <= target.time_ms;
  return true;
}

bool Avoided(const RestorePlanOptions& options, uint64_t number) {
  return std::find(options.avoid.begin(), options.avoid.end(), number) != options.avoid.end();
}

class Planner {
 public:
  Planner(const ReplicaReader& reader, const Catalogue& catalogue, const RestoreTarget& target,
          const RestorePlanOptions& options)
      : reader_(reader), catalogue_(catalogue), target_(target), options_(options) {}

  Result<RestorePlan> Run();

 private:
  // nullopt: an older snapshot may lead to a state that fits.
  Result<std::optional<RestorePlan>> From(const SnapshotManifest& snapshot) const;
  Status CheckReach(const RestorePoint& last, const LogPlan& log) const;
  Status CheckBehind(const std::string& proven, const LogPlan& log) const;
  Status NoneFits() const;
  void TellDamaged(RestorePlan* plan) const;
  uint64_t KnownTxid() const;
  uint64_t KnownNumber() const;

  const ReplicaReader& reader_;
  const Catalogue& catalogue_;
  const RestoreTarget& target_;
  const RestorePlanOptions& options_;
};

// The newest transaction that a finished snapshot vouches for.
uint64_t Planner::KnownTxid() const {
  uint64_t known = 0;
  for (const SnapshotManifest& each : catalogue_.snapshots) {
    known = std::max(known, each.consistent_txid);
  }
  return known;
}

// The log was at least this long: a snapshot replaces what lies before it.
uint64_t Planner::KnownNumber() const {
  uint64_t known = 1;
  for (const SnapshotManifest& each : catalogue_.snapshots) {
    known = std::max(known, each.next_log_number);
  }
  for (const DamagedSnapshot& each : catalogue_.damaged_snapshots) {
    known = std::max(known, each.number);
  }
  return known;
}

Status Planner::NoneFits() const {
  if (!catalogue_.damaged_snapshots.empty()) {
    const DamagedSnapshot& damaged = catalogue_.damaged_snapshots.front();
    return damaged.status.Wrap("no usable snapshot before the restore point");
  }
  if (!options_.avoid.empty()) {
    return {Code::kCorrupt, reader_.Describe() + ": no undamaged snapshot leads there"};
  }
  if (catalogue_.snapshots.empty() && catalogue_.NothingToRestoreYet()) {
    return {Code::kNotFound,
            reader_.Describe() + ": no restore point yet: its first snapshot was never finished"};
  }
  if (catalogue_.snapshots.empty()) {
    return {Code::kCorrupt, reader_.Describe() + ": there is a log, but no snapshot to start from"};
  }
  auto earliest = std::min_element(catalogue_.snapshots.begin(), catalogue_.snapshots.end(),
                                   [](const SnapshotManifest& a, const SnapshotManifest& b) {
                                     return a.consistent_txid < b.consistent_txid;
                                   });
  return {Code::kNotFound, reader_.Describe() +
                               ": nothing that old: the earliest restore point is " +
                               Describe(earliest->consistent_txid, earliest->consistent_time_ms)};
}

// What was asked for lies behind the end of a base. What is there is a state only with a snapshot
// of the page size that the database has from then on.
Status Planner::CheckBehind(const std::string& proven, const LogPlan& log) const {
  uint64_t next_txid = 0;
  bool leads = std::any_of(catalogue_.damaged_snapshots.begin(), catalogue_.damaged_snapshots.end(),
                           [&](auto& each) { return each.number > log.next_number; });
  for (const SnapshotManifest& each : catalogue_.snapshots) {
    if (each.next_log_number <= log.next_number) continue;
    leads = leads || Reaches(each, target_);
    if (next_txid == 0) next_txid = each.consistent_txid;
  }
  const std::string changed =
      reader_.Describe() + ": the database got another page size behind " + proven + ", and ";
  if (leads) {
    return {Code::kCorrupt, changed + "no undamaged snapshot leads further: ask for it with -txid"};
  }
  if (target_.kind != Kind::kTxid) return Status::Ok();
  return {Code::kNotFound,
          changed + (next_txid == 0 ? "the first snapshot since then was never finished"
                                    : "the next state that can be restored is transaction " +
                                          std::to_string(next_txid))};
}

// `last` is the last state that can be proven. Is what was asked for behind it?
Status Planner::CheckReach(const RestorePoint& last, const LogPlan& log) const {
  if (target_.kind == Kind::kSound) return Status::Ok();
  const std::string proven = Describe(last.txid, last.time_ms);
  const bool beyond = target_.kind == Kind::kLatest ||
                      (target_.kind == Kind::kTxid && target_.txid > last.txid) ||
                      (target_.kind == Kind::kTime && target_.time_ms >= last.time_ms);
  if (!beyond) return Status::Ok();
  if (log.base_end) return CheckBehind(proven, log);
  const std::string remedy = "; the last transaction that can be restored is " + proven +
                             ": ask for it with -txid " + std::to_string(last.txid);
  if (log.damage) {
    return {Code::kCorrupt,
            reader_.Describe() + ": the log is damaged: " + log.damage->what + remedy};
  }
  if (log.next_number < KnownNumber()) {
    return {Code::kCorrupt, reader_.Describe() + ": " + LogKey(log.next_number) +
                                " is missing, and a snapshot was made behind it" + remedy};
  }
  if (last.txid < KnownTxid()) {
    return {Code::kCorrupt, reader_.Describe() + ": the log ends before transaction " +
                                std::to_string(KnownTxid()) + ", which a snapshot holds" + remedy};
  }
  if (target_.kind == Kind::kTxid) {
    return {Code::kNotFound, reader_.Describe() + ": no transaction " +
                                 std::to_string(target_.txid) + " yet: the last one is " + proven};
  }
  return Status::Ok();
}

// Keeps the entries up to the one with the last segment, and sets what follows from that.
void Cut(const RestorePoint& point, const LogPlan& log, RestorePlan* plan) {
  plan->last_segment = point.segment;
  plan->stop_step = point.stop_step;
  plan->txid = point.txid;
  plan->time_ms = point.time_ms;
  plan->epoch = log.epoch;
  plan->void_below = log.epoch;
  plan->next_log_number = log.next_number;
  const auto beyond = [&](const LogEntry& entry) {
    return !entry.segments.empty() &&
           entry.segments.back().number > std::max(point.segment, plan->snapshot.segment_number);
  };
  const auto next = std::find_if(plan->entries.begin(), plan->entries.end(), beyond);
  if (next == plan->entries.end()) return;
  // It may hold segments that are needed, too.
  plan->next_log_number = next->header.number;
  plan->void_below = next->header.epoch;
  while (!plan->entries.empty()) {
    const LogEntry& entry = plan->entries.back();
    const bool needed = !entry.segments.empty() && entry.segments.front().number <= point.segment;
    if (needed) break;
    plan->entries.pop_back();
  }
}

// True when no whole transaction lies behind `point`: at most the beginning of one, which a crash
// cut off. A writer that goes on from there finds that beginning at the next log number.
bool IsEnd(const RestorePoint& point, const RestorePoint& last, const LogPlan& log) {
  return !point.stop_step && !log.damage && point.segment == last.segment;
}

// The state is the end of a base behind which the log has gone on.
Status Leave(const ReplicaReader& reader, const LogStart& start, const LogPlan& whole,
             RestorePlan* plan) {
  Result<LogEnd> end = EndOf(reader, start, whole);
  if (!end.ok()) return end.status();
  plan->left = *end;
  plan->epoch = whole.epoch;
  plan->void_below = whole.epoch;
  plan->next_log_number = whole.next_number;
  plan->warnings.push_back("the database got another page size behind " +
                           Describe(plan->txid, plan->time_ms) +
                           ", and the first snapshot since then was never finished: what was "
                           "committed later is not in this state");
  return Status::Ok();
}

Result<std::optional<RestorePlan>> Planner::From(const SnapshotManifest& snapshot) const {
  const LogStart start = StartOf(snapshot);
  Result<LogPlan> whole = PlanLog(reader_, catalogue_, start, options_.log);
  if (!whole.ok()) return whole.status();
  LogPlan log = OfOneBase(*whole);
  Result<std::optional<RestorePoint>> last = FindPoint(reader_, snapshot, log, {});
  if (!last.ok()) return last.status();
  if (!*last) {
    return Status(Code::kCorrupt,
                  "snapshot " + std::to_string(snapshot.next_log_number) +
                      ": the log does not reach the transaction that makes it whole" +
                      (log.damage ? ", it is damaged: " + log.damage->what : ""));
  }
  BACKSTAY_TRY(CheckReach(**last, log));
  Result<std::optional<RestorePoint>> point = FindPoint(reader_, snapshot, log, target_);
  if (!point.ok()) return point.status();
  if (!*point) return std::optional<RestorePlan>();
  RestorePlan plan;
  plan.identity = catalogue_.identity;
  plan.snapshot = snapshot;
  plan.at_end = IsEnd(**point, **last, log) && !whole->damage;
  plan.entries = std::move(log.entries);
  Cut(**point, log, &plan);
  if (plan.at_end && log.base_end) BACKSTAY_TRY(Leave(reader_, start, *whole, &plan));
  return std::optional(std::move(plan));
}

// One that is older than the snapshot that is used has been made up for by that one.
void Planner::TellDamaged(RestorePlan* plan) const {
  for (const DamagedSnapshot& damaged : catalogue_.damaged_snapshots) {
    const std::string& what = damaged.status.message();
    if (damaged.number > plan->snapshot.next_log_number) {
      plan->damages.push_back("snapshot left aside: " + what);
    } else {
      plan->warnings.push_back(
          "an older snapshot cannot be used, of which only older states may "
          "need anything; it goes with what retention deletes, or with "
          "`backstay prune -retention TIME`: " +
          what);
    }
  }
}

Result<RestorePlan> Planner::Run() {
  Status failed;
  std::vector<std::string> damages;
  for (auto it = catalogue_.snapshots.rbegin(); it != catalogue_.snapshots.rend(); ++it) {
    if (!Reaches(*it, target_) || Avoided(options_, it->next_log_number)) continue;
    Result<std::optional<RestorePlan>> plan = From(*it);
    if (plan.ok() && !*plan) continue;
    if (plan.ok()) {
      TellDamaged(&**plan);
      (*plan)->damages.insert((*plan)->damages.end(), damages.begin(), damages.end());
      return std::move(**plan);
    }
    if (plan.status().code() != Code::kCorrupt) return plan.status();
    if (failed.ok()) failed = plan.status();
    damages.push_back("older snapshot used: " + plan.status().message());
  }
  return failed.ok() ? NoneFits() : failed;
}

}  // namespace

std::vector<std::string> RestorePlan::Told() const {
  std::vector<std::string> told = damages;
  told.insert(told.end(), warnings.begin(), warnings.end());
  return told;
}

uint64_t RestorePlan::SnapshotBytes() const {
  return std::accumulate(snapshot.frame_bytes.begin(), snapshot.frame_bytes.end(), uint64_t{0});
}

uint64_t RestorePlan::LogBytes() const {
  return std::accumulate(entries.begin(), entries.end(), uint64_t{0},
                         [](uint64_t sum, const LogEntry& entry) { return sum + entry.bytes(); });
}

uint64_t RestorePlan::BytesToFetch() const {
  return std::accumulate(
      entries.begin(), entries.end(), SnapshotBytes(),
      [](uint64_t sum, const LogEntry& entry) { return entry.body ? sum : sum + entry.bytes(); });
}

const SnapshotManifest* FirstToTry(const std::vector<SnapshotManifest>& snapshots,
                                   const RestoreTarget& target) {
  const auto found = std::find_if(snapshots.rbegin(), snapshots.rend(),
                                  [&](const auto& each) { return Reaches(each, target); });
  return found == snapshots.rend() ? nullptr : &*found;
}

Result<RestorePlan> PlanRestore(const ReplicaReader& reader, const Catalogue& catalogue,
                                const RestoreTarget& target, const RestorePlanOptions& options) {
  return Planner(reader, catalogue, target, options).Run();
}

}  // namespace backstay
