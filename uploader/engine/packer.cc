#include "uploader/engine/packer.h"

#include <algorithm>
#include <atomic>
#include <memory>

#include "uploader/engine/fence.h"
#include "uploader/engine/gap_words.h"
#include "uploader/format/keys.h"
#include "uploader/replica/log_gap.h"
#include "uploader/replica/parallel.h"

namespace backstay {
namespace {

constexpr int64_t kAgeMs = 3600 * 1000;
constexpr uint64_t kMaxObjects = 1024;  // looked at in one job
constexpr size_t kParallel = 8;
constexpr uint64_t kIndexBytes = 64;  // of an object in a pack's index, about

ListOptions PacksFrom(uint64_t first) {
  ListOptions options;
  options.prefix = "pack/";
  options.start_after = PackKey(first - std::min<uint64_t>(first, kMaxPackObjects), 0);
  return options;
}

}  // namespace

bool Packer::DueLocked() const {
  const ShipState& ship = core_->ship;
  const uint64_t singles = ship.next_log_number - 1 - ship.packed_through;
  const int64_t age = core_->options.clock->WallMs() - ship.unpacked_since_ms;
  const bool old = ship.unpacked_since_ms != 0 && age > kAgeMs;
  const bool much = ship.unpacked_bytes >= PackTiers::kFullBytes;
  return singles >= PackTiers::kObjects || (singles >= PackTiers::kLeastObjects && (old || much));
}

Status Packer::LearnPacks(uint64_t first) {
  Result<std::vector<ObjectInfo>> packs = core_->options.client->List(PacksFrom(first));
  if (!packs.ok()) return packs.status();
  packs_.reset();
  std::lock_guard<std::mutex> lock(core_->mutex);
  ShipState& ship = core_->ship;
  for (const ObjectInfo& pack : *packs) {
    const auto range = ParsePackKey(pack.key);
    if (!range || range->second < first || range->second >= ship.next_log_number) continue;
    ship.packed_through = std::max(ship.packed_through, range->second);
  }
  return ship.packed_through >= first ? Status::Ok() : Status(Code::kNotFound, "not packed");
}

// Nothing here can make it good. Behind a newer snapshot nobody has to: it is told, and left.
Status Packer::GoRound(uint64_t gap) {
  RetryOptions once;
  once.attempts = 1;
  const ReplicaReader reader(core_->options.client, once);
  bool there = false;
  std::optional<LogGap> lost;
  BACKSTAY_TRY(persist_([&]() -> Status {
    BACKSTAY_TRY(CheckOwn());
    Result<std::optional<std::string>> again = Fetch(gap);
    there = again.ok() && *again;
    if (!again.ok() || there) return again.status();
    Result<Catalogue> catalogue = LoadCatalogue(reader, 1);
    if (!catalogue.ok()) return catalogue.status();
    Result<std::optional<LogGap>> found = LookAtGap(reader, *catalogue, gap);
    if (found.ok()) lost = *found;
    return found.status();
  }));
  if (there) return Status::Ok();
  if (!lost) {
    return {Code::kNotFound, core_->options.replica + ": " + LogKey(gap) +
                                 " is missing, and no snapshot is newer: the next look at the "
                                 "replica, within minutes, makes it good by a new one"};
  }
  TellGap(core_, *lost);
  std::lock_guard<std::mutex> lock(core_->mutex);
  core_->ship.packed_through = std::max(core_->ship.packed_through, lost->last);
  core_->SaveShipLocked();
  return Status::Ok();
}

Status Packer::Listed(const std::string& key) {
  const auto range = ParsePackKey(key);
  ListOptions options;
  options.prefix = "pack/";
  options.start_after = PackKey(range->first, 0);
  Result<std::vector<ObjectInfo>> packs = core_->options.client->List(options);
  if (!packs.ok()) return packs.status();
  const auto is_it = [&](const ObjectInfo& pack) { return pack.key == key; };
  if (std::any_of(packs->begin(), packs->end(), is_it)) return Status::Ok();
  return {Code::kUnavailable,
          core_->options.replica + " does not list " + key + ", which it has taken", true};
}

Result<std::optional<std::string>> Packer::Fetch(uint64_t number) {
  using Object = std::optional<std::string>;
  if (Object kept = core_->shipped.Read(number)) return kept;
  GetOptions small;
  small.max_bytes = PackTiers::kSmallBytes;
  Result<std::string> got = core_->options.client->Get(LogKey(number), small);
  if (got.ok()) return Object(std::move(*got));
  if (got.status().code() == Code::kNotFound) return Object();
  return got.status().code() == Code::kInvalid ? Object("") : Result<Object>(got.status());
}

// The first series from `first` on that is worth a pack. Large objects, and few between two of
// them, stay single.
Status Packer::Collect(uint64_t first, uint64_t end, Series* series, uint64_t* gap) {
  using Object = std::optional<std::string>;
  std::atomic<bool> full{false};
  *series = {first, {}, 0};
  *gap = 0;
  return ParallelOrdered<Object>::Run(
      end - first, kParallel, kParallel * 2,
      [&](size_t i) { return full ? Result<Object>(Object()) : Fetch(first + i); },
      [&](size_t i, Object object) {
        const bool stays = !object || object->empty();
        const bool room = stays || series->bytes + object->size() <= PackTiers::kFullBytes;
        const bool enough = series->objects.size() >= PackTiers::kLeastObjects;
        full = full || (enough && (stays || !room));
        if (!full && !object) {
          *gap = first + i;
          full = true;
        }
        if (full) return Status::Ok();
        if (stays) {
          *series = {first + i + 1, {}, 0};
          return Status::Ok();
        }
        series->bytes += object->size();
        series->objects.push_back(std::move(*object));
        return Status::Ok();
      });
}

// Of a log that has nothing but large objects one of many is packed, for its number: the newest
// pack tells a stale writer how far the log has come, also when retention has deleted its end.
Status Packer::CollectLast(uint64_t number, Series* series) {
  *series = {number, {}, 0};
  return persist_([&]() -> Status {
    Result<std::string> object = core_->options.client->Get(LogKey(number));
    if (!object.ok()) return object.status();
    series->bytes = object->size();
    series->objects.push_back(std::move(*object));
    return Status::Ok();
  });
}

Status Packer::FindPacks(uint64_t first) {
  if (packs_) return Status::Ok();
  Result<std::vector<ObjectInfo>> listed = core_->options.client->List(PacksFrom(first));
  if (!listed.ok()) return listed.status();
  packs_.emplace();
  for (const ObjectInfo& info : *listed) {
    const auto range = ParsePackKey(info.key);
    if (range && range->second < first) packs_->push_back({range->first, range->second, info.size});
  }
  return Status::Ok();
}

// All that is in a pack of the bucket.
Status Packer::AddPack(const PackTiers::Pack& pack, PackWriter* writer) {
  std::string body;
  std::vector<PackedObject> index;
  for (uint64_t number = pack.first; number <= pack.last; ++number) {
    std::optional<std::string> kept = core_->shipped.Read(number);
    if (kept && !kept->empty()) {
      BACKSTAY_TRY(writer->Add(AsBytes(*kept), number));
      continue;
    }
    if (index.empty()) {
      Result<std::string> got = core_->options.client->Get(PackKey(pack.first, pack.last));
      if (!got.ok()) return got.status();
      body = std::move(*got);
      Result<uint64_t> offset = PackIndexOffset(AsBytes(body), body.size());
      if (!offset.ok()) return offset.status();
      DatabaseId of{};
      auto parsed = ParsePackIndex(AsBytes(body).subspan(*offset), body.size(), &of);
      if (!parsed.ok()) return parsed.status();
      if (of != writer->id()) return {Code::kCorrupt, "pack: of another database"};
      index = std::move(*parsed);
    }
    const uint64_t at = number - pack.first;
    if (at >= index.size()) return {Code::kCorrupt, "pack: shorter than its name says"};
    BACKSTAY_TRY(writer->Add(AsBytes(body).subspan(index[at].offset, index[at].length), number));
  }
  return Status::Ok();
}

Result<std::string> Packer::Build(const std::vector<PackTiers::Pack>& merged,
                                  const Series& series) {
  uint64_t bytes = series.bytes + series.objects.size() * kIndexBytes;
  for (const PackTiers::Pack& pack : merged) bytes += pack.bytes;
  DatabaseId id{};
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    id = core_->identity.id;
  }
  PackWriter writer(id, bytes);
  for (const PackTiers::Pack& pack : merged) BACKSTAY_TRY(AddPack(pack, &writer));
  for (size_t i = 0; i < series.objects.size(); ++i) {
    BACKSTAY_TRY(writer.Add(AsBytes(series.objects[i]), series.first + i));
  }
  return writer.Finish();
}

// Takeover objects are packed too but stay under log/: their number is the one that a stale writer
// would try next.
Status Packer::Deletable(const std::vector<PackTiers::Pack>& merged, const Series& series,
                         std::vector<std::string>* keys) {
  for (size_t i = 0; i < series.objects.size(); ++i) {
    size_t used = 0;
    Result<LogHeader> header = ParseLogHeader(AsBytes(series.objects[i]), &used);
    if (!header.ok()) return header.status();
    if (!IsTakeover(header->kind)) keys->push_back(LogKey(series.first + i));
  }
  for (const PackTiers::Pack& pack : merged) keys->push_back(PackKey(pack.first, pack.last));
  return Status::Ok();
}

void Packer::Note(const Series& series) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  ShipState& ship = core_->ship;
  const uint64_t last = series.last();
  ship.packed_through = std::max(ship.packed_through, last);
  ship.unpacked_bytes -= std::min(ship.unpacked_bytes, series.bytes);
  ship.unpacked_since_ms = last + 1 < ship.next_log_number ? core_->options.clock->WallMs() : 0;
  core_->SaveShipLocked();
}

// What is there is asked for again in an hour, or when there is more.
void Packer::Postpone() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  core_->ship.unpacked_since_ms = core_->options.clock->WallMs();
  core_->ship.unpacked_bytes = 0;
}

// What is kept of the own log tells nothing of the bucket: another database may have begun there.
Status Packer::CheckOwn() {
  Result<std::string> bytes = core_->options.client->Get(kIdentityKey);
  if (!bytes.ok()) return bytes.status();
  Result<Identity> found = ParseIdentity(*bytes);
  BACKSTAY_TRY(found.ok() ? core_->CheckOwn(*found) : found.status());
  // Nor does it where another writer may have put its own objects in the place of ours.
  return Fence::Ask(core_);
}

Status Packer::MakePack(const Series& series) {
  const size_t count = PackTiers::Merged(*packs_, series.AsPack());
  std::vector<PackTiers::Pack> merged(packs_->end() - static_cast<ptrdiff_t>(count), packs_->end());
  Result<std::string> bytes = Build(merged, series);
  if (!bytes.ok() && !merged.empty()) {
    // One of them is gone or damaged: they stay what they are.
    merged.clear();
    bytes = Build(merged, series);
  }
  if (!bytes.ok()) return bytes.status();
  std::vector<std::string> keys;
  BACKSTAY_TRY(Deletable(merged, series, &keys));
  const uint64_t first = merged.empty() ? series.first : merged.front().first;
  const uint64_t last = series.last();
  const std::string key = PackKey(first, last);
  BACKSTAY_TRY(persist_([&]() -> Status {
    BACKSTAY_TRY(CheckOwn());
    return core_->options.client->Put(key, AsBytes(*bytes));
  }));
  Note(series);
  const std::string which = std::to_string(first) + " to " + std::to_string(last);
  core_->Log(Level::kDebug, "packed log objects " + which);
  BACKSTAY_TRY(persist_([&] { return Listed(key); }));
  packs_->resize(packs_->size() - merged.size());
  packs_->push_back({first, last, bytes->size()});
  if (packs_->back().closed()) {
    packs_->clear();
    core_->shipped.DropThrough(last);
  }
  BACKSTAY_TRY(persist_([&] { return CheckOwn(); }));
  Status deleted = persist_([&] { return core_->options.client->Delete(keys); });
  if (deleted.code() == Code::kCancelled) return deleted;
  // Readers ignore singles that a pack covers: a store that does not let us delete only keeps more
  // objects.
  if (!deleted.ok()) return deleted.Wrap("packed objects cannot be deleted");
  core_->Log(Level::kDebug, "deleted packed log objects " + which);
  return Status::Ok();
}

Status Packer::Run(bool* packed) {
  *packed = false;
  uint64_t first = 0;
  uint64_t end = 0;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    first = core_->ship.packed_through + 1;
    end = std::min(core_->ship.next_log_number, first + kMaxObjects);
  }
  if (first >= end) return Status::Ok();
  Series series;
  uint64_t gap = 0;
  BACKSTAY_TRY(persist_([&] { return Collect(first, end, &series, &gap); }));
  if (gap != 0) {
    Status learned = persist_([&] { return LearnPacks(first); });
    return learned.code() == Code::kNotFound ? GoRound(gap) : learned;
  }
  if (series.objects.size() < PackTiers::kLeastObjects) {
    if (end - first < PackTiers::kObjects) return Postpone(), Status::Ok();
    BACKSTAY_TRY(CollectLast(end - 1, &series));
  }
  BACKSTAY_TRY(persist_([&] { return FindPacks(first); }));
  BACKSTAY_TRY(MakePack(series));
  *packed = true;
  return Status::Ok();
}

}  // namespace backstay
