#include "uploader/engine/replica_look.h"

#include <algorithm>
#include <vector>

#include "uploader/engine/snapshot_frames.h"
#include "uploader/format/keys.h"
#include "uploader/format/pack.h"

namespace backstay {
namespace {

constexpr int64_t kEveryMs = 5 * 60 * 1000;
constexpr int64_t kOldMs = 60 * 60 * 1000;
constexpr int64_t kBehindLossMs = 30 * 1000;
constexpr int64_t kFreshMs = 10;
constexpr uint64_t kPeekBytes = 64;

}  // namespace

std::string MissingObjects::Names() const {
  std::string names;
  const auto add = [&](bool missing, const char* name) {
    if (missing) names += (names.empty() ? "" : ", ") + std::string(name);
  };
  add(identity, kIdentityKey);
  add(snapshot, "every snapshot that is whole");
  add(head, "the newest log object");
  add(hole != 0, LogKey(hole).c_str());
  return names;
}

bool ReplicaLook::Due() const {
  return !looked_ms_ || core_->options.clock->MonotonicMs() - *looked_ms_ >= pause_ms_;
}

bool ReplicaLook::Stale() const {
  return !looked_ms_ || core_->options.clock->MonotonicMs() - *looked_ms_ >= kFreshMs;
}

bool ReplicaLook::Old() const {
  return !looked_ms_ || core_->options.clock->MonotonicMs() - *looked_ms_ >= kOldMs;
}

void ReplicaLook::Done(int64_t began_ms) {
  looked_ms_ = core_->options.clock->MonotonicMs();
  pause_ms_ = lost_ ? kBehindLossMs : kEveryMs;
  lost_ = false;
  Glanced(began_ms);
}

void ReplicaLook::Glanced(int64_t began_ms) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  core_->looks.Seen(began_ms);
  core_->ship_work.notify_all();
}

void ReplicaLook::Proved(int64_t began_ms) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  core_->looks.Proved(began_ms);
  core_->ship_work.notify_all();
}

bool ReplicaLook::Vanished() {
  ReplicaClient* client = core_->options.client;
  return client->LooksAreFree() && client->Get(kIdentityKey).status().code() == Code::kNotFound;
}

Result<Identity> ReplicaLook::FindIdentity() {
  Result<std::string> got = core_->options.client->Get(kIdentityKey);
  if (got.status().code() == Code::kNotFound) got = core_->options.client->Get(kIdentityKey);
  if (!got.ok()) return got.status();
  Result<Identity> found = ParseIdentity(*got);
  if (found.status().code() != Code::kCorrupt) return found;
  return Status(Code::kUnavailable,
                core_->options.replica + "/" + found.status().message() +
                    ": something on the way may answer in its place (a proxy, a login page); if "
                    "the object itself is damaged, delete it, and it is written anew",
                true);
}

Result<bool> ReplicaLook::Exists(const std::string& key) {
  GetOptions peek;
  peek.length = kPeekBytes;
  Result<std::string> got = core_->options.client->Get(key, peek);
  if (got.status().code() == Code::kNotFound) got = core_->options.client->Get(key, peek);
  if (got.ok()) return true;
  if (got.status().code() == Code::kNotFound) return false;
  return got.status();
}

bool ReplicaLook::IsManifestsTurn() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  manifests_turn_ = !manifests_turn_ && core_->ship.restorable;
  return manifests_turn_;
}

Result<bool> ReplicaLook::HasManifest() {
  uint64_t known = 0;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    known = core_->ship.snapshot_number;
  }
  return known == 0 ? Result<bool>(false) : Exists(SnapshotManifestKey(known));
}

// One that a newer version wrote is its own affair.
Result<bool> ReplicaLook::IsWhole(uint64_t snapshot) {
  const std::string key = SnapshotManifestKey(snapshot);
  Result<std::string> got = core_->options.client->Get(key);
  if (got.status().code() == Code::kNotFound) got = core_->options.client->Get(key);
  if (got.status().code() == Code::kNotFound) return false;
  if (!got.ok()) return got.status();
  Result<SnapshotManifest> manifest = ParseSnapshotManifest(AsBytes(*got));
  if (!manifest.ok()) return manifest.status().code() != Code::kCorrupt;
  Result<std::string> missing = MissingFrame(core_->options.client, *manifest);
  if (!missing.ok()) return missing.status();
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (missing->empty()) core_->snapshot_ms = manifest->consistent_time_ms;
  return missing->empty();
}

void ReplicaLook::Proven() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  core_->proven_ms = core_->options.clock->WallMs();
}

// A restored state does not know the number of the newest one; of one that is known a newer one may
// have taken the place.
Result<bool> ReplicaLook::HasSnapshot() {
  uint64_t known = 0;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    if (!core_->ship.restorable) return true;
    known = core_->ship.snapshot_number;
  }
  if (known != 0) {
    Result<bool> there = IsWhole(known);
    if (there.ok() && *there) Proven();
    if (!there.ok() || *there) return there;
  }
  Result<uint64_t> newest = NewestSnapshot();
  if (!newest.ok()) return newest.status();
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (*newest != 0 && core_->ship.snapshot_number == known) core_->ship.snapshot_number = *newest;
  if (*newest != 0) core_->proven_ms = core_->options.clock->WallMs();
  return *newest != 0;
}

Result<uint64_t> ReplicaLook::NewestSnapshot() {
  uint64_t above = 0;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    above = std::max(core_->ship.snapshot_above, core_->ship.base);
  }
  ListOptions list;
  list.prefix = "snapshot/";
  list.folders = true;
  Result<std::vector<ObjectInfo>> folders = core_->options.client->List(list);
  if (!folders.ok()) return folders.status();
  for (auto folder = folders->rbegin(); folder != folders->rend(); ++folder) {
    const auto number = ParseSnapshotManifestKey(folder->key + "manifest");
    if (!number || *number <= above) continue;
    Result<bool> there = IsWhole(*number);
    if (!there.ok()) return there.status();
    if (*there) return *number;
  }
  return uint64_t{0};
}

// As itself, or in a pack. Behind a pack of higher numbers retention may have deleted it: the log
// has gone on without this writer, which learns so when it appends.
Result<bool> ReplicaLook::HasLogObject(uint64_t number) {
  Result<bool> there = Exists(LogKey(number));
  if (!there.ok() || *there) return there;
  Result<uint64_t> packed = PackedThrough(number);
  if (!packed.ok()) return packed.status();
  return *packed >= number;
}

Result<uint64_t> ReplicaLook::PackedThrough(uint64_t number) {
  ListOptions list;
  list.prefix = "pack/";
  list.start_after = PackKey(number - std::min<uint64_t>(number, kMaxPackObjects), 0);
  Result<std::vector<ObjectInfo>> packs = core_->options.client->List(list);
  if (!packs.ok()) return packs.status();
  uint64_t last = 0;
  for (const ObjectInfo& info : *packs) {
    if (const auto range = ParsePackKey(info.key)) last = std::max(last, range->second);
  }
  return last;
}

// Ranges of numbers, in order. The log before the packs: what is packed in between is then seen
// twice, never not at all.
Result<std::vector<std::pair<uint64_t, uint64_t>>> ReplicaLook::Listed(uint64_t first) {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  ListOptions list;
  list.prefix = "log/";
  list.start_after = LogKey(first - 1);
  Result<std::vector<ObjectInfo>> log = core_->options.client->List(list);
  if (!log.ok()) return log.status();
  for (const ObjectInfo& info : *log) {
    if (const auto number = ParseLogKey(info.key)) ranges.emplace_back(*number, *number);
  }
  list.prefix = "pack/";
  list.start_after = PackKey(first - std::min<uint64_t>(first, kMaxPackObjects), 0);
  Result<std::vector<ObjectInfo>> packs = core_->options.client->List(list);
  if (!packs.ok()) return packs.status();
  for (const ObjectInfo& info : *packs) {
    if (const auto range = ParsePackKey(info.key)) ranges.push_back(*range);
  }
  std::sort(ranges.begin(), ranges.end());
  return ranges;
}

// A list may be late: what it does not show is asked for by name. The last number is not looked at
// here.
Result<uint64_t> ReplicaLook::FindHole() {
  uint64_t next = 0;
  uint64_t last = 0;
  listed_through_ = 0;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    if (!core_->ship.restorable) return uint64_t{0};
    next = core_->ship.snapshot_number;
    last = core_->ship.next_log_number - 1;
  }
  if (next == 0 || next >= last) return uint64_t{0};
  auto ranges = Listed(next);
  if (!ranges.ok()) return ranges.status();
  ranges->emplace_back(last, last);
  for (const auto& range : *ranges) listed_through_ = std::max(listed_through_, range.second);
  for (const auto& [begin, end] : *ranges) {
    for (; next < std::min(begin, last); ++next) {
      Result<bool> there = Exists(LogKey(next));
      if (!there.ok()) return there.status();
      if (!*there) return next;
    }
    next = std::max(next, end + 1);
  }
  return uint64_t{0};
}

Result<bool> ReplicaLook::GoesOn(uint64_t last) {
  if (listed_through_ != 0) return listed_through_ > last;
  GetOptions peek;
  peek.length = kPeekBytes;
  const Status got = core_->options.client->Get(LogKey(last + 1), peek).status();
  if (got.ok()) return true;
  if (got.code() != Code::kNotFound) return got;
  Result<uint64_t> packed = PackedThrough(last + 1);
  if (!packed.ok()) return packed.status();
  return *packed > last;
}

Result<MissingObjects> ReplicaLook::FindRest() {
  MissingObjects missing;
  Result<bool> snapshot = HasSnapshot();
  if (!snapshot.ok()) return snapshot.status();
  missing.snapshot = !*snapshot;
  uint64_t last = 0;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    last = core_->ship.next_log_number - 1;
  }
  if (last == 0) return missing;
  Result<bool> head = HasLogObject(last);
  if (!head.ok()) return head.status();
  missing.head = !*head;
  Result<uint64_t> hole = FindHole();
  if (!hole.ok()) return hole.status();
  missing.hole = *hole;
  return missing;
}

}  // namespace backstay
