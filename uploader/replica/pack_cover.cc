#include "uploader/replica/pack_cover.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "uploader/replica/parallel.h"

namespace backstay {
namespace {

bool Covers(const PackName& pack, uint64_t number) {
  return pack.first <= number && number <= pack.last;
}

Status CheckIndex(const PackName& pack, const std::vector<PackedObject>& objects) {
  const bool dense = objects.size() == pack.last - pack.first + 1;
  if (!dense || objects.front().header.number != pack.first) {
    return {Code::kCorrupt, "its index does not hold the numbers of its name"};
  }
  for (size_t i = 0; i < objects.size(); ++i) {
    if (objects[i].header.number != pack.first + i) {
      return {Code::kCorrupt, "its index is out of order"};
    }
  }
  return Status::Ok();
}

}  // namespace

Status StaleListing(const std::string& key) {
  return {Code::kUnavailable, key + ": moved while the replica was being read", true};
}

Result<std::vector<PackedObject>> LoadPackIndex(const ReplicaReader& reader, const PackName& pack,
                                                const DatabaseId& id) {
  const std::string key = pack.key();
  const uint64_t tail_size = std::min<uint64_t>(pack.size, kPackTailBytes);
  if (tail_size == 0) return Status(Code::kCorrupt, key + ": empty");
  Result<std::string> tail = reader.GetRange(key, pack.size - tail_size, tail_size);
  if (!tail.ok()) return tail.status();
  Result<uint64_t> offset = PackIndexOffset(AsBytes(*tail), pack.size);
  if (!offset.ok()) return offset.status().Wrap(key);
  std::string end;
  if (*offset >= pack.size - tail_size) {
    end = tail->substr(*offset - (pack.size - tail_size));
  } else {
    Result<std::string> whole = reader.GetRange(key, *offset, pack.size - *offset);
    if (!whole.ok()) return whole.status();
    end = std::move(*whole);
  }
  DatabaseId of{};
  Result<std::vector<PackedObject>> objects = ParsePackIndex(AsBytes(end), pack.size, &of);
  if (!objects.ok()) return objects.status().Wrap(key);
  if (of != id) {
    return Status(Code::kCorrupt, key + ": of another database (id " + FormatDatabaseId(of) + ")");
  }
  BACKSTAY_TRY(CheckIndex(pack, *objects).Wrap(key));
  return objects;
}

Status PackCover::Prepare(uint64_t number, size_t threads) {
  std::vector<const PackName*> names;
  for (const PackName& pack : packs_) {
    if (pack.last >= number) names.push_back(&pack);
  }
  struct Index {
    Status status;
    std::vector<PackedObject> objects;
  };
  return ParallelOrdered<Index>::Run(
      names.size(), threads, 2 * threads,
      [&](size_t i) -> Result<Index> {
        Result<std::vector<PackedObject>> objects = LoadPackIndex(reader_, *names[i], id_);
        if (!objects.ok()) return Index{objects.status(), {}};
        return Index{Status::Ok(), std::move(*objects)};
      },
      [&](size_t i, Index index) {
        if (!index.status.ok()) return Status::Ok();
        loaded_.emplace(names[i]->key(), LoadedPack{*names[i], std::move(index.objects)});
        return Status::Ok();
      });
}

Result<const LoadedPack*> PackCover::Load(const PackName& name) {
  const std::string key = name.key();
  if (damaged_.contains(key)) return nullptr;
  auto found = loaded_.find(key);
  if (found != loaded_.end()) return &found->second;
  Result<std::vector<PackedObject>> objects = LoadPackIndex(reader_, name, id_);
  if (objects.ok()) {
    return &loaded_.emplace(key, LoadedPack{name, std::move(*objects)}).first->second;
  }
  if (objects.status().code() == Code::kNotFound) return StaleListing(key);
  if (objects.status().code() != Code::kCorrupt) return objects.status();
  damaged_.emplace(key, objects.status());
  return nullptr;
}

Result<const LoadedPack*> PackCover::At(uint64_t number) {
  std::vector<const PackName*> covering;
  for (const PackName& pack : packs_) {
    if (Covers(pack, number)) covering.push_back(&pack);
  }
  // packs_ ascends by first: a stable sort keeps the one that begins first in front.
  std::stable_sort(covering.begin(), covering.end(),
                   [](const PackName* a, const PackName* b) { return a->last > b->last; });
  for (const PackName* name : covering) {
    Result<const LoadedPack*> pack = Load(*name);
    if (!pack.ok() || *pack != nullptr) return pack;
  }
  return nullptr;
}

Result<std::vector<const LoadedPack*>> PackCover::Others(const LoadedPack& pack) {
  std::vector<const LoadedPack*> others;
  for (const PackName& name : packs_) {
    const bool overlaps = name.first <= pack.name.last && pack.name.first <= name.last;
    if (!overlaps || name.key() == pack.name.key()) continue;
    Result<const LoadedPack*> other = Load(name);
    if (!other.ok()) return other.status();
    if (*other != nullptr) others.push_back(*other);
  }
  return others;
}

uint64_t PackCover::NextAfter(uint64_t number) const {
  uint64_t next = std::numeric_limits<uint64_t>::max();
  for (const PackName& pack : packs_) {
    if (pack.first > number && !damaged_.contains(pack.key())) next = std::min(next, pack.first);
  }
  return next;
}

Status PackCover::ProblemAt(uint64_t number) const {
  for (const PackName& pack : packs_) {
    auto found = damaged_.find(pack.key());
    if (found != damaged_.end() && Covers(pack, number)) return found->second;
  }
  return Status::Ok();
}

}  // namespace backstay
