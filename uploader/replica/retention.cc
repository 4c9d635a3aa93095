#include "uploader/replica/retention.h"

#include <algorithm>
#include <map>
#include <utility>

#include "uploader/format/keys.h"
#include "uploader/replica/log_plan.h"
#include "uploader/replica/pack_cover.h"

namespace backstay {
namespace {

constexpr uint64_t kMostTakeoverBytes = 256;

std::string SnapshotFolder(uint64_t number) {
  const std::string manifest = SnapshotManifestKey(number);
  return manifest.substr(0, manifest.rfind('/') + 1);
}

Result<std::vector<ObjectInfo>> ListSnapshot(const ReplicaReader& reader, uint64_t number) {
  ListOptions options;
  options.prefix = SnapshotFolder(number);
  return reader.List(options);
}

class Planner {
 public:
  Planner(const ReplicaReader& reader, const Catalogue& catalogue)
      : reader_(reader), catalogue_(catalogue) {}

  Result<RetentionPlan> Run(int64_t keep_after_ms);

 private:
  void FindBase(int64_t keep_after_ms);
  Status CheckBase() const;
  Status CheckLog();
  Status AddSnapshot(uint64_t number);
  Status AddPacks();
  Status AddSingles(const PackName& pack);
  Status AddUnpacked(uint64_t newest);
  Result<bool> IsTakeoverAt(uint64_t number, uint64_t size) const;
  void Add(size_t batch, const std::string& key, uint64_t size);

  enum Batch : size_t { kManifests, kFrames, kSingles, kPacks, kBatches };

  const ReplicaReader& reader_;
  const Catalogue& catalogue_;
  RetentionPlan plan_;
};

// Ends at the first snapshot of the window: one behind it that a wrong clock has dated into the
// past is no older than that.
void Planner::FindBase(int64_t keep_after_ms) {
  for (const SnapshotManifest& snapshot : catalogue_.snapshots) {
    if (snapshot.consistent_time_ms > keep_after_ms) {
      plan_.next_ms = snapshot.consistent_time_ms;
      return;
    }
    plan_.base = snapshot;
  }
}

// Before anything older goes, what replaces it must be there.
Status Planner::CheckBase() const {
  const SnapshotManifest& base = *plan_.base;
  Result<std::vector<ObjectInfo>> list = ListSnapshot(reader_, base.next_log_number);
  if (!list.ok()) return list.status();
  std::map<std::string, uint64_t> sizes;
  for (const ObjectInfo& info : *list) sizes[info.key] = info.size;
  for (size_t i = 0; i < base.frame_bytes.size(); ++i) {
    const std::string key =
        SnapshotFrameKey(base.next_log_number, base.nonce, static_cast<uint32_t>(i));
    auto found = sizes.find(key);
    if (found == sizes.end()) return {Code::kCorrupt, key + " is missing"};
    if (found->second != base.frame_bytes[i]) return {Code::kCorrupt, key + " has a wrong size"};
  }
  return Status::Ok();
}

// The log behind the base is there without a gap, as far as names tell.
Status Planner::CheckLog() {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const PackName& pack : catalogue_.packs) ranges.emplace_back(pack.first, pack.last);
  for (const auto& [number, size] : catalogue_.singles) ranges.emplace_back(number, number);
  std::sort(ranges.begin(), ranges.end());
  uint64_t next = plan_.base->next_log_number;
  // Ranges overlap where a packer died between the pack and the deletes.
  const auto pass = [&next](const auto& range) {
    if (range.first <= next) next = std::max(next, range.second + 1);
    return range.first > next;
  };
  for (auto at = ranges.begin(); (at = std::find_if(at, ranges.end(), pass)) != ranges.end();) {
    Result<std::optional<LogGap>> gap = LookAtGap(reader_, catalogue_, next);
    if (!gap.ok()) return gap.status();
    if (!*gap) return {Code::kCorrupt, LogKey(next) + " is missing, and the log goes on behind it"};
    // The first one is told. Nothing goes before all of them have.
    plan_.next_ms = (*gap)->to_ms;
    if (!plan_.gap) plan_.gap = *gap;
    next = at->first;
  }
  return Status::Ok();
}

void Planner::Add(size_t batch, const std::string& key, uint64_t size) {
  plan_.batches[batch].push_back(key);
  plan_.bytes += size;
  ++plan_.objects;
}

Status Planner::AddSnapshot(uint64_t number) {
  if (number >= plan_.base->next_log_number) return Status::Ok();
  Result<std::vector<ObjectInfo>> list = ListSnapshot(reader_, number);
  if (!list.ok()) return list.status();
  for (const ObjectInfo& info : *list) {
    Add(info.key == SnapshotManifestKey(number) ? kManifests : kFrames, info.key, info.size);
  }
  return Status::Ok();
}

// Left by a packer that died between the pack and the deletes.
Status Planner::AddSingles(const PackName& pack) {
  auto single = catalogue_.singles.lower_bound(pack.first);
  if (single == catalogue_.singles.end() || single->first > pack.last) return Status::Ok();
  Result<std::vector<PackedObject>> objects = LoadPackIndex(reader_, pack, catalogue_.identity.id);
  if (objects.status().code() == Code::kCorrupt) return Status::Ok();
  if (!objects.ok()) return objects.status();
  for (const PackedObject& object : *objects) {
    if (IsTakeover(object.header.kind)) continue;
    auto found = catalogue_.singles.find(object.header.number);
    if (found != catalogue_.singles.end()) Add(kSingles, LogKey(found->first), found->second);
  }
  return Status::Ok();
}

Result<bool> Planner::IsTakeoverAt(uint64_t number, uint64_t size) const {
  if (size > kMostTakeoverBytes) return false;
  Result<std::string> head = reader_.GetRange(LogKey(number), 0, size);
  if (!head.ok()) return head.status();
  size_t used = 0;
  Result<LogHeader> header = ParseLogHeader(AsBytes(*head), &used);
  return !header.ok() || IsTakeover(header->kind);
}

// What was not worth a pack: by a stale writer who looks for one of them, a pack of higher numbers
// has to be found.
Status Planner::AddUnpacked(uint64_t newest) {
  for (const auto& [number, size] : catalogue_.singles) {
    if (number >= plan_.base->next_log_number || number > newest) break;
    const bool packed = std::any_of(
        catalogue_.packs.begin(), catalogue_.packs.end(),
        [at = number](const PackName& pack) { return pack.first <= at && at <= pack.last; });
    if (packed) continue;
    Result<bool> takeover = IsTakeoverAt(number, size);
    if (takeover.status().code() == Code::kNotFound) continue;
    if (!takeover.ok()) return takeover.status();
    if (!*takeover) Add(kSingles, LogKey(number), size);
  }
  return Status::Ok();
}

Status Planner::AddPacks() {
  uint64_t newest = 0;
  for (const PackName& pack : catalogue_.packs) newest = std::max(newest, pack.last);
  for (const PackName& pack : catalogue_.packs) {
    if (pack.last >= plan_.base->next_log_number || pack.last == newest) continue;
    BACKSTAY_TRY(AddSingles(pack));
    Add(kPacks, pack.key(), pack.size);
  }
  return AddUnpacked(newest);
}

Result<RetentionPlan> Planner::Run(int64_t keep_after_ms) {
  FindBase(keep_after_ms);
  if (!plan_.base) return std::move(plan_);
  BACKSTAY_TRY(CheckBase());
  BACKSTAY_TRY(CheckLog());
  if (plan_.gap) return std::move(plan_);
  plan_.batches.resize(kBatches);
  for (const SnapshotManifest& each : catalogue_.snapshots) {
    BACKSTAY_TRY(AddSnapshot(each.next_log_number));
  }
  for (const DamagedSnapshot& each : catalogue_.damaged_snapshots) {
    BACKSTAY_TRY(AddSnapshot(each.number));
  }
  for (uint64_t number : catalogue_.unfinished_snapshots) BACKSTAY_TRY(AddSnapshot(number));
  BACKSTAY_TRY(AddPacks());
  return std::move(plan_);
}

}  // namespace

Result<RetentionPlan> PlanRetention(const ReplicaReader& reader, const Catalogue& catalogue,
                                    int64_t keep_after_ms) {
  Result<RetentionPlan> plan = Planner(reader, catalogue).Run(keep_after_ms);
  if (plan.ok() || plan.status().code() != Code::kCorrupt) return plan;
  return plan.status().Wrap(reader.Describe() +
                            ": nothing is deleted, because what is to stay is damaged");
}

}  // namespace backstay
