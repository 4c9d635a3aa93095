// Jobs, the pack: concatenates the oldest single log objects, then deletes them. Takeover objects
// are packed too but stay under log/: their number is the one that a stale writer would try next.
// Nothing is deleted before the store's list shows the pack: who reads or goes on with the log
// looks there, and would take a freed number for the end of the log.

#include <algorithm>
#include <utility>

#include "uploader/engine/jobs.h"
#include "uploader/format/keys.h"
#include "uploader/format/pack.h"

namespace backstay {
namespace {

constexpr uint64_t kMaxObjects = 1024;
constexpr uint64_t kMaxBytes = 4 << 20;
constexpr uint64_t kRoomForLast = 4 << 20;  // log objects are about this large at most

}  // namespace

Status Jobs::Listed(uint64_t first, uint64_t last) {
  const std::string key = PackKey(first, last);
  ListOptions options;
  options.prefix = "pack/";
  options.start_after = PackKey(first, 0);
  Result<std::vector<ObjectInfo>> packs = core_->options.client->List(options);
  if (!packs.ok()) return packs.status();
  for (const ObjectInfo& pack : *packs) {
    if (pack.key == key) return Status::Ok();
  }
  return {Code::kUnavailable,
          core_->options.replica + " does not list " + key + ", which it has taken", true};
}

// Another writer may have packed what ours was to begin with.
Status Jobs::LearnPacks(uint64_t first) {
  ListOptions options;
  options.prefix = "pack/";
  options.start_after = PackKey(first - std::min<uint64_t>(first, kMaxPackObjects), 0);
  Result<std::vector<ObjectInfo>> packs = core_->options.client->List(options);
  if (!packs.ok()) return packs.status();
  for (const ObjectInfo& pack : *packs) {
    const auto range = ParsePackKey(pack.key);
    if (!range || range->first > first || range->second < first) continue;
    std::lock_guard<std::mutex> lock(core_->mutex);
    ShipState& ship = core_->ship;
    if (range->second < ship.next_log_number) {
      ship.packed_through = std::max(ship.packed_through, range->second);
      return Status::Ok();
    }
  }
  return {Code::kNotFound, core_->options.replica + ": " + LogKey(first) + " is missing"};
}

Status Jobs::Pack() {
  uint64_t first = 0;
  uint64_t end = 0;
  DatabaseId id{};
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    first = core_->ship.packed_through + 1;
    end = std::min(core_->ship.next_log_number, first + kMaxObjects);
    id = core_->identity.id;
  }
  PackWriter pack(id, kMaxBytes + kRoomForLast);
  std::vector<std::string> singles;
  uint64_t segment_bytes = 0;
  uint64_t number = first;
  // Large ones come in a row, in the catch-up behind an outage: it has memory for one.
  size_t last_size = 0;
  for (; number < end && pack.bytes() + last_size <= kMaxBytes; ++number) {
    std::string object;
    Status got = Persist([&]() -> Status {
      Result<std::string> got = core_->options.client->Get(LogKey(number));
      if (got.ok()) object = std::move(*got);
      return got.status();
    });
    if (got.code() == Code::kNotFound && number == first) return LearnPacks(first);
    BACKSTAY_TRY(got);
    BACKSTAY_TRY(pack.Add(AsBytes(object), number));
    last_size = object.size();
    size_t used = 0;
    Result<LogHeader> header = ParseLogHeader(AsBytes(object), &used);
    if (!header.ok()) return header.status();
    if (IsTakeover(header->kind)) continue;
    singles.push_back(LogKey(number));
    segment_bytes += object.size();
  }
  uint64_t last = number - 1;
  std::string bytes = pack.Finish();
  BACKSTAY_TRY(
      Persist([&] { return core_->options.client->Put(PackKey(first, last), AsBytes(bytes)); }));
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    ShipState& ship = core_->ship;
    ship.packed_through = std::max(ship.packed_through, last);
    ship.unpacked_bytes -= std::min(ship.unpacked_bytes, segment_bytes);
    ship.unpacked_since_ms = last + 1 < ship.next_log_number ? core_->options.clock->WallMs() : 0;
    core_->SaveShipLocked();
  }
  core_->Log(Level::kDebug,
             "packed log objects " + std::to_string(first) + " to " + std::to_string(last));
  ReplicaGrew(std::nullopt);
  BACKSTAY_TRY(Persist([&] { return Listed(first, last); }));
  Status deleted = Persist([&] { return core_->options.client->Delete(singles); });
  if (deleted.code() == Code::kCancelled) return deleted;
  // Readers ignore singles that a pack covers: a store that does not let us delete only keeps more
  // objects.
  if (!deleted.ok()) return deleted.Wrap("packed objects cannot be deleted");
  core_->Log(Level::kDebug,
             "deleted packed log objects " + std::to_string(first) + " to " + std::to_string(last));
  return Status::Ok();
}

}  // namespace backstay
