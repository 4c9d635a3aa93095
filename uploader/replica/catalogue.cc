#include "uploader/replica/catalogue.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>

#include "uploader/replica/absence.h"
#include "uploader/replica/parallel.h"

namespace backstay {
namespace {

constexpr uint64_t kMaxIdentityBytes = 64 << 10;
constexpr uint64_t kMaxManifestBytes = 256 << 20;
constexpr std::string_view kSnapshots = "snapshot/";

constexpr char kWrittenAnew[] =
    "; while the database and its state folder are there, its application writes it anew, with the "
    "next start at the latest";

Status Unreadable(const ReplicaReader& reader, const Status& why) {
  Status failed = why.Wrap(reader.Describe() + "/" + kIdentityKey);
  if (failed.code() != Code::kCorrupt) return failed;
  return {Code::kCorrupt, failed.message() +
                              "; put an older version of the object back (versions of the bucket), "
                              "or delete it" +
                              kWrittenAnew};
}

Status LoadIdentity(const ReplicaReader& reader, Identity* found) {
  GetOptions options;
  options.max_bytes = kMaxIdentityBytes;
  Result<std::string> text = reader.Get(kIdentityKey, options);
  if (text.ok()) {
    Result<Identity> identity = ParseIdentity(*text);
    if (!identity.ok()) return Unreadable(reader, identity.status());
    *found = *identity;
    return Status::Ok();
  }
  if (text.status().code() != Code::kNotFound) return text.status();
  Result<WithoutIdentity> there = LookWithoutIdentity(reader);
  if (!there.ok()) return there.status();
  switch (there->found) {
    case WithoutIdentity::kNothing: break;
    case WithoutIdentity::kRemains:
      return {Code::kCorrupt, reader.Describe() + ": " + kIdentityKey +
                                  " is missing, though the replica's objects are there (" +
                                  there->key + "); undelete it (versions of the bucket)" +
                                  kWrittenAnew};
    case WithoutIdentity::kForeign:
      return {Code::kForeign, reader.Describe() + " holds objects that are no replica's (" +
                                  there->key + "), and no " + kIdentityKey +
                                  ": correct the prefix"};
  }
  return {Code::kNotFound, "no replica at " + reader.Describe()};
}

Status ListLog(const ReplicaReader& reader, Catalogue* catalogue) {
  ListOptions options;
  options.prefix = "log/";
  Result<std::vector<ObjectInfo>> log = reader.List(options);
  if (!log.ok()) return log.status();
  for (const ObjectInfo& info : *log) {
    std::optional<uint64_t> number = ParseLogKey(info.key);
    if (number) catalogue->singles[*number] = info.size;
  }
  return Status::Ok();
}

Status SnapshotNumbers(const ReplicaReader& reader, std::vector<uint64_t>* numbers) {
  ListOptions options;
  options.prefix = kSnapshots;
  options.folders = true;
  Result<std::vector<ObjectInfo>> list = reader.List(options);
  if (!list.ok()) return list.status();
  for (const ObjectInfo& info : *list) {
    std::optional<uint64_t> number = ParseSnapshotManifestKey(info.key + "manifest");
    if (number) numbers->push_back(*number);
  }
  return Status::Ok();
}

// Both at a time, where there are threads for it; the error of the first before that of the second.
Status Both(size_t threads, const std::function<Status()>& first,
            const std::function<Status()>& second) {
  using Done = ParallelOrdered<bool>;
  // One alone does not begin with the second, which may take long, before the first went well.
  return Done::Run(
      2, threads, std::min<size_t>(threads, 2),
      [&](size_t i) -> Result<bool> {
        const Status done = i == 0 ? first() : second();
        return done.ok() ? Result<bool>(true) : Result<bool>(done);
      },
      [](size_t, bool) { return Status::Ok(); });
}

struct ManifestResult {
  Status status;  // kNotFound: unfinished
  SnapshotManifest manifest;
};

// One alone may be at fault; all of them are not.
Status OfAnotherDatabase(const ReplicaReader& reader, const std::string& key,
                         const Identity& identity, const SnapshotManifest& manifest) {
  return {Code::kCorrupt, reader.Describe() + "/" + key + ": is of database " +
                              FormatDatabaseId(manifest.database_id) + ", but " + kIdentityKey +
                              " names " + FormatDatabaseId(identity.id) +
                              "; if all snapshots say so, " + kIdentityKey +
                              " was changed: put an older version of it back (versions of the "
                              "bucket), or delete it" +
                              kWrittenAnew};
}

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
  if (manifest->next_log_number != number) {
    return ManifestResult{
        Status(Code::kCorrupt, reader.Describe() + "/" + key + ": belongs to another snapshot"),
        {}};
  }
  if (manifest->database_id != identity.id) {
    return ManifestResult{OfAnotherDatabase(reader, key, identity, *manifest), {}};
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

// What a late list leaves out of a log that is whole as far as it was listed.
Status FindLogByName(const ReplicaReader& reader, uint64_t* end, Catalogue* catalogue) {
  for (;; ++*end) {
    Result<std::string> object = reader.Get(LogKey(*end + 1));
    if (object.status().code() == Code::kNotFound) return Status::Ok();
    if (!object.ok()) return object.status();
    catalogue->singles[*end + 1] = object->size();
  }
}

// No snapshot was listed. The number of one is that of the log object which comes next when it
// begins.
Status FindByName(const ReplicaReader& reader, const std::vector<uint64_t>& listed, size_t threads,
                  Catalogue* catalogue) {
  std::optional<uint64_t> end = catalogue->WholeFromBeginning();
  if (!end) return Status::Ok();
  BACKSTAY_TRY(FindLogByName(reader, &*end, catalogue));
  std::vector<uint64_t> numbers;
  for (uint64_t number = 1; number <= *end + 1; ++number) {
    if (!std::binary_search(listed.begin(), listed.end(), number)) numbers.push_back(number);
  }
  Catalogue named;
  named.identity = catalogue->identity;
  BACKSTAY_TRY(LoadSnapshots(reader, numbers, threads, &named));
  catalogue->snapshots = std::move(named.snapshots);
  catalogue->damaged_snapshots = std::move(named.damaged_snapshots);
  return Status::Ok();
}

}  // namespace

bool Catalogue::NothingToRestoreYet() const {
  return snapshots.empty() && damaged_snapshots.empty() && WholeFromBeginning();
}

std::optional<uint64_t> Catalogue::WholeFromBeginning() const {
  std::vector<std::pair<uint64_t, uint64_t>> ranges;
  for (const PackName& pack : packs) ranges.emplace_back(pack.first, pack.last);
  for (const auto& [number, size] : singles) ranges.emplace_back(number, number);
  std::sort(ranges.begin(), ranges.end());
  uint64_t end = 0;
  for (const auto& [first, last] : ranges) {
    if (first > end + 1) return std::nullopt;
    end = std::max(end, last);
  }
  return end;
}

Status ListPacks(const ReplicaReader& reader, Catalogue* catalogue) {
  ListOptions options;
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

Result<Catalogue> LoadCatalogue(const ReplicaReader& reader, size_t threads,
                                const SnapshotsSeen& seen) {
  Catalogue catalogue;
  std::vector<uint64_t> numbers;
  // Snapshots before the log: the log of the newest one is then listed in full.
  BACKSTAY_TRY(Both(
      threads, [&] { return LoadIdentity(reader, &catalogue.identity); },
      [&] { return SnapshotNumbers(reader, &numbers); }));
  const auto load_snapshots = [&] {
    BACKSTAY_TRY(LoadSnapshots(reader, numbers, threads, &catalogue));
    if (seen) seen(catalogue.snapshots);
    return Status::Ok();
  };
  // Packs behind the log: what is packed in between is then seen twice, never not at all.
  const auto list_log = [&] {
    BACKSTAY_TRY(ListLog(reader, &catalogue));
    return ListPacks(reader, &catalogue);
  };
  BACKSTAY_TRY(Both(threads, load_snapshots, list_log));
  if (catalogue.NothingToRestoreYet()) {
    BACKSTAY_TRY(FindByName(reader, numbers, threads, &catalogue));
  }
  return catalogue;
}

}  // namespace backstay
