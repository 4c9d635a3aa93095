#include "tools/inventory.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

#include "uploader/replica/pack_cover.h"

namespace backstay {
namespace {

constexpr size_t kParallelism = 8;

class Taker {
 public:
  Taker(const ReplicaReader& reader, const Catalogue& catalogue, const PointsWanted& wanted)
      : reader_(reader), catalogue_(catalogue), wanted_(wanted) {}

  Result<Inventory> Run();

 private:
  Status AddSnapshots();
  Result<std::string> DamageOf(const SnapshotManifest& snapshot) const;
  Status AddRanges();
  Status AddRange(const SnapshotManifest& snapshot);
  Status AddTakeovers(const LogPlan& log);
  void AddToPacks(const LogPlan& log);
  Status AddTotals();
  Status AddPoints();
  Status AddPointsOf(const LogPlan& log, Range* range);
  bool IsWanted(int64_t time_ms) const {
    return wanted_.since_ms <= time_ms && time_ms <= wanted_.until_ms;
  }

  const ReplicaReader& reader_;
  const Catalogue& catalogue_;
  const PointsWanted& wanted_;
  Inventory inventory_;
  std::vector<LogPlan> logs_;              // of the ranges, while points are wanted
  std::map<std::string, uint64_t> sizes_;  // in bytes, of all objects, by key
};

// Empty: its frames are there, in their sizes. A list may be late: what it does not show is asked
// for by name.
Result<std::string> Taker::DamageOf(const SnapshotManifest& snapshot) const {
  for (size_t i = 0; i < snapshot.frame_bytes.size(); ++i) {
    const std::string key =
        SnapshotFrameKey(snapshot.next_log_number, snapshot.nonce, static_cast<uint32_t>(i));
    const uint64_t size = snapshot.frame_bytes[i];
    const auto listed = sizes_.find(key);
    if (listed != sizes_.end() && listed->second == size) continue;
    const Status got = reader_.GetRange(key, size - 1, 1).status();
    if (got.ok()) continue;
    if (got.code() != Code::kNotFound && got.code() != Code::kCorrupt) return got;
    // A snapshot that is deleted loses its manifest first.
    const std::string manifest = SnapshotManifestKey(snapshot.next_log_number);
    const Status still = reader_.Get(manifest).status();
    if (still.code() == Code::kNotFound) return StaleListing(manifest);
    if (!still.ok()) return still;
    return reader_.Describe() + "/" + key +
           (got.code() == Code::kNotFound ? " is missing" : " is too short");
  }
  return std::string();
}

Status Taker::AddSnapshots() {
  inventory_.damaged_snapshots = catalogue_.damaged_snapshots;
  inventory_.unfinished_snapshots = catalogue_.unfinished_snapshots;
  for (const SnapshotManifest& snapshot : catalogue_.snapshots) {
    Result<std::string> damage = DamageOf(snapshot);
    if (!damage.ok()) return damage.status();
    if (damage->empty()) {
      inventory_.snapshots.push_back(snapshot);
    } else {
      inventory_.damaged_snapshots.push_back({snapshot.next_log_number, {Code::kCorrupt, *damage}});
    }
  }
  return Status::Ok();
}

Status Taker::AddRange(const SnapshotManifest& snapshot) {
  Result<LogPlan> whole = PlanLog(reader_, catalogue_, StartOf(snapshot), {kParallelism, 64 << 20});
  if (!whole.ok()) return whole.status();
  LogPlan log = OfOneBase(std::move(*whole));
  Result<std::optional<RestorePoint>> last = FindPoint(reader_, snapshot, log, {});
  if (!last.ok()) return last.status();
  Range range;
  range.from = snapshot;
  if (*last) range.last = StatePoint{(*last)->txid, (*last)->time_ms};
  range.end = log.next_number;
  range.objects = log.entries.size();
  for (const LogEntry& entry : log.entries) range.bytes += entry.bytes();
  if (log.damage) range.damage = log.damage->what;
  if (!range.last && range.damage.empty()) {
    range.damage = "the log ends before the snapshot is whole";
  }
  BACKSTAY_TRY(AddTakeovers(log));
  AddToPacks(log);
  inventory_.ranges.push_back(std::move(range));
  if (wanted_.most > 0) logs_.push_back(std::move(log));
  return Status::Ok();
}

Status Taker::AddRanges() {
  std::vector<Range>& ranges = inventory_.ranges;
  for (const SnapshotManifest& snapshot : inventory_.snapshots) {
    const bool covered = !ranges.empty() && snapshot.next_log_number <= ranges.back().end;
    if (covered && ranges.back().last) continue;
    BACKSTAY_TRY(AddRange(snapshot));
  }
  return Status::Ok();
}

// Their objects stay as they were, whether or not they are packed.
Status Taker::AddTakeovers(const LogPlan& log) {
  for (const LogEntry& entry : log.entries) {
    if (!IsTakeover(entry.header.kind)) continue;
    Result<std::shared_ptr<const std::string>> body = FetchEntry(reader_, entry);
    if (!body.ok()) return body.status();
    Result<LogObject> object = ParseLogObject(AsBytes(**body), entry.header.number);
    if (!object.ok()) return object.status();
    inventory_.takeovers.push_back({entry.header.number,
                                    entry.header.epoch,
                                    {object->takeover.txid, object->takeover.time_ms}});
  }
  return Status::Ok();
}

void Taker::AddToPacks(const LogPlan& log) {
  for (const LogEntry& entry : log.entries) {
    for (PackSummary& pack : inventory_.packs) {
      if (pack.name.key() != entry.sources.front().key || entry.segments.empty()) continue;
      const SegmentInfo& first = entry.segments.front();
      const SegmentInfo& last = entry.segments.back();
      if (!pack.first) pack.first = StatePoint{first.first_txid, first.first_time_ms};
      pack.last = StatePoint{last.last_txid(), last.last_time_ms};
    }
  }
}

Status Taker::AddTotals() {
  Result<std::vector<ObjectInfo>> all = reader_.List({});
  if (!all.ok()) return all.status();
  ObjectTotals& totals = inventory_.totals;
  for (const ObjectInfo& each : *all) {
    sizes_[each.key] = each.size;
    ObjectTotal* total = &totals.other;
    if (ParseLogKey(each.key)) total = &totals.log;
    if (ParsePackKey(each.key)) total = &totals.pack;
    if (each.key.starts_with("snapshot/")) total = &totals.snapshot;
    ++total->objects;
    total->bytes += each.size;
  }
  return Status::Ok();
}

// From the newest to the oldest, which is how they are found in their number.
Status Taker::AddPointsOf(const LogPlan& log, Range* range) {
  std::vector<StatePoint>& points = inventory_.points;
  const size_t newer = points.size();
  for (auto entry = log.entries.rbegin(); entry != log.entries.rend(); ++entry) {
    if (points.size() > wanted_.most) return Status::Ok();
    if (entry->segments.empty() ||
        entry->segments.back().last_txid() < range->from.consistent_txid ||
        entry->segments.front().first_time_ms > wanted_.until_ms ||
        entry->segments.back().last_time_ms < wanted_.since_ms) {
      continue;
    }
    Result<std::shared_ptr<const std::string>> body = FetchEntry(reader_, *entry);
    if (body.status().code() == Code::kCorrupt) {
      // Nothing behind it can be restored.
      points.resize(newer);
      range->damage = body.status().message();
      continue;
    }
    if (!body.ok()) return body.status();
    Result<LogObject> object = ParseLogObject(AsBytes(**body), entry->header.number);
    if (!object.ok()) return object.status();
    std::vector<StatePoint> found;
    for (const Segment& segment : object->segments) {
      uint64_t txid = segment.header().first_txid - 1;
      for (const SegmentStep& step : segment.steps()) {
        txid += step.transactions;
        const bool restorable = step.transactions > 0 && txid > range->from.consistent_txid;
        if (restorable && IsWanted(step.time_ms)) found.push_back({txid, step.time_ms});
      }
    }
    points.insert(points.end(), found.rbegin(), found.rend());
  }
  if (IsWanted(range->from.consistent_time_ms)) points.push_back(range->first());
  return Status::Ok();
}

Status Taker::AddPoints() {
  if (wanted_.most == 0) return Status::Ok();
  for (size_t i = inventory_.ranges.size(); i-- > 0;) {
    if (inventory_.ranges[i].last) BACKSTAY_TRY(AddPointsOf(logs_[i], &inventory_.ranges[i]));
  }
  std::vector<StatePoint>& points = inventory_.points;
  inventory_.points_left_out = points.size() > wanted_.most;
  if (inventory_.points_left_out) points.resize(wanted_.most);
  std::reverse(points.begin(), points.end());
  return Status::Ok();
}

Result<Inventory> Taker::Run() {
  inventory_.identity = catalogue_.identity;
  for (const PackName& name : catalogue_.packs) inventory_.packs.push_back({name, {}, {}});
  BACKSTAY_TRY(AddTotals());
  BACKSTAY_TRY(AddSnapshots());
  BACKSTAY_TRY(AddRanges());
  BACKSTAY_TRY(AddPoints());
  return std::move(inventory_);
}

}  // namespace

ObjectTotal ObjectTotals::all() const {
  ObjectTotal sum;
  for (const ObjectTotal* each : {&log, &pack, &snapshot, &other}) {
    sum.objects += each->objects;
    sum.bytes += each->bytes;
  }
  return sum;
}

bool Inventory::damaged() const {
  return !damaged_snapshots.empty() ||
         std::any_of(ranges.begin(), ranges.end(),
                     [](const Range& range) { return !range.damage.empty(); });
}

bool Inventory::sound_at_end() const {
  const Range* last = newest();
  if (last == nullptr || last != &ranges.back() || !last->damage.empty()) return false;
  return std::all_of(damaged_snapshots.begin(), damaged_snapshots.end(),
                     [&](auto& each) { return each.number < snapshots.back().next_log_number; });
}

const Range* Inventory::newest() const {
  const auto found = std::find_if(ranges.rbegin(), ranges.rend(),
                                  [](const Range& range) { return range.last.has_value(); });
  return found == ranges.rend() ? nullptr : &*found;
}

uint64_t SnapshotBytes(const SnapshotManifest& manifest) {
  return std::accumulate(manifest.frame_bytes.begin(), manifest.frame_bytes.end(), uint64_t{0});
}

Result<Inventory> TakeInventory(const ReplicaReader& reader, const PointsWanted& wanted) {
  return LookAtReplica(reader, kParallelism, [&](const Catalogue& catalogue) {
    return Taker(reader, catalogue, wanted).Run();
  });
}

}  // namespace backstay
