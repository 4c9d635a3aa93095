#include "uploader/replica/catalogue.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>

#include "uploader/replica/parallel.h"

namespace backstay {
namespace {

constexpr uint64_t kMaxIdentityBytes = 64 << 10;
constexpr uint64_t kMaxManifestBytes = 256 << 20;
constexpr std::string_view kSnapshots = "snapshot/";

// Objects that only a replica of ours would hold, where there is no identity.
Result<bool> HoldsObjects(const ReplicaReader& reader) {
  ListOptions options;
  options.folders = true;
  Result<std::vector<ObjectInfo>> list = reader.List(options);
  if (!list.ok()) return list.status();
  return std::any_of(list->begin(), list->end(), [](const ObjectInfo& info) {
    return info.key == "log/" || info.key == "pack/" || info.key == kSnapshots;
  });
}

Result<Identity> LoadIdentity(const ReplicaReader& reader) {
  GetOptions options;
  options.max_bytes = kMaxIdentityBytes;
  Result<std::string> text = reader.Get(kIdentityKey, options);
  if (text.ok()) {
    Result<Identity> identity = ParseIdentity(*text);
    if (identity.ok()) return identity;
    return identity.status().Wrap(reader.Describe() + "/" + kIdentityKey);
  }
  if (text.status().code() != Code::kNotFound) return text.status();
  Result<bool> holds = HoldsObjects(reader);
  if (!holds.ok()) return holds.status();
  if (!*holds) return Status(Code::kNotFound, "no replica at " + reader.Describe());
  return Status(Code::kCorrupt, reader.Describe() + ": " + kIdentityKey +
                                    " is missing, though the replica's objects are there");
}

Status ListLog(const ReplicaReader& reader, Catalogue* catalogue) {
  // The log before the packs: what is packed in between is then seen twice, never not at all.
  ListOptions options;
  options.prefix = "log/";
  Result<std::vector<ObjectInfo>> log = reader.List(options);
  if (!log.ok()) return log.status();
  for (const ObjectInfo& info : *log) {
    std::optional<uint64_t> number = ParseLogKey(info.key);
    if (number) catalogue->singles[*number] = info.size;
  }
  options.prefix = "pack/";
  Result<std::vector<ObjectInfo>> packs = reader.List(options);
  if (!packs.ok()) return packs.status();
  for (const ObjectInfo& info : *packs) {
    auto range = ParsePackKey(info.key);
    if (range) catalogue->packs.push_back({range->first, range->second, info.size});
  }
  std::sort(catalogue->packs.begin(), catalogue->packs.end(),
            [](const PackName& a, const PackName& b) {
              return std::pair(a.first, a.last) < std::pair(b.first, b.last);
            });
  return Status::Ok();
}

Result<std::vector<uint64_t>> SnapshotNumbers(const ReplicaReader& reader) {
  ListOptions options;
  options.prefix = kSnapshots;
  options.folders = true;
  Result<std::vector<ObjectInfo>> list = reader.List(options);
  if (!list.ok()) return list.status();
  std::vector<uint64_t> numbers;
  for (const ObjectInfo& info : *list) {
    std::optional<uint64_t> number = ParseSnapshotManifestKey(info.key + "manifest");
    if (number) numbers.push_back(*number);
  }
  return numbers;
}

struct ManifestResult {
  Status status;  // kNotFound: unfinished
  SnapshotManifest manifest;
};

// What must end the command is an error; what concerns only this snapshot is in the value.
Result<ManifestResult> LoadManifest(const ReplicaReader& reader, const Identity& identity,
                                    uint64_t number) {
  GetOptions options;
  options.max_bytes = kMaxManifestBytes;
  const std::string key = SnapshotManifestKey(number);
  Result<std::string> body = reader.Get(key, options);
  if (!body.ok()) {
    if (body.status().code() == Code::kNotFound) return ManifestResult{body.status(), {}};
    return body.status();
  }
  Result<SnapshotManifest> manifest = ParseSnapshotManifest(AsBytes(*body));
  if (!manifest.ok()) {
    Status status = manifest.status().Wrap(reader.Describe() + "/" + key);
    if (status.code() == Code::kNewer) return status;
    return ManifestResult{status, {}};
  }
  if (manifest->database_id != identity.id || manifest->next_log_number != number) {
    return ManifestResult{
        Status(Code::kCorrupt, reader.Describe() + "/" + key + ": belongs to another snapshot"),
        {}};
  }
  return ManifestResult{Status::Ok(), std::move(*manifest)};
}

Status LoadSnapshots(const ReplicaReader& reader, const std::vector<uint64_t>& numbers,
                     size_t threads, Catalogue* catalogue) {
  using Manifests = ParallelOrdered<ManifestResult>;
  return Manifests::Run(
      numbers.size(), threads, numbers.size(),
      [&](size_t i) { return LoadManifest(reader, catalogue->identity, numbers[i]); },
      [&](size_t i, ManifestResult result) {
        if (result.status.ok()) {
          catalogue->snapshots.push_back(std::move(result.manifest));
        } else if (result.status.code() == Code::kNotFound) {
          catalogue->unfinished_snapshots.push_back(numbers[i]);
        } else {
          catalogue->damaged_snapshots.push_back({numbers[i], result.status});
        }
        return Status::Ok();
      });
}

}  // namespace

bool Catalogue::NothingToRestoreYet() const {
  if (!snapshots.empty() || !damaged_snapshots.empty()) return false;
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const PackName& pack : packs) ranges.emplace_back(pack.first, pack.last);
  for (const auto& [number, size] : singles) ranges.emplace_back(number, number);
  std::sort(ranges.begin(), ranges.end());
  uint64_t end = 0;  // the log is whole from 1 to here
  for (const auto& [first, last] : ranges) {
    if (first > end + 1) return false;
    end = std::max(end, last);
  }
  return true;
}

Result<Catalogue> LoadCatalogue(const ReplicaReader& reader, size_t threads) {
  Catalogue catalogue;
  Result<Identity> identity = LoadIdentity(reader);
  if (!identity.ok()) return identity.status();
  catalogue.identity = *identity;
  // Snapshots before the log: the log of the newest one is then listed in full.
  Result<std::vector<uint64_t>> numbers = SnapshotNumbers(reader);
  if (!numbers.ok()) return numbers.status();
  BACKSTAY_TRY(LoadSnapshots(reader, *numbers, threads, &catalogue));
  BACKSTAY_TRY(ListLog(reader, &catalogue));
  return catalogue;
}

}  // namespace backstay
