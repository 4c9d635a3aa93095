#include "uploader/replica/absence.h"

#include <initializer_list>
#include <string_view>
#include <vector>

#include "uploader/format/keys.h"
#include "uploader/format/log_object.h"

namespace backstay {
namespace {

bool IsOurs(std::string_view key) {
  if (key == kRestorableKey) return true;
  for (std::string_view folder : {"log/", "pack/", "snapshot/"}) {
    if (key.substr(0, folder.size()) == folder) return true;
  }
  return false;
}

Result<bool> IsThere(const ReplicaReader& reader, const std::string& key) {
  GetOptions first_byte;
  first_byte.length = 1;
  Result<std::string> got = reader.Get(key, first_byte);
  if (got.ok()) return true;
  if (got.status().code() == Code::kNotFound) return false;
  return got.status();
}

}  // namespace

Result<WithoutIdentity> LookWithoutIdentity(const ReplicaReader& reader) {
  ListOptions options;
  options.most = 1;
  Result<std::vector<ObjectInfo>> list = reader.List(options);
  if (!list.ok()) return list.status();
  for (const ObjectInfo& info : *list) {
    if (info.key == kIdentityKey) {
      return Status(Code::kUnavailable,
                    reader.Describe() + " lists " + info.key + ", but cannot find it", true);
    }
    if (IsOurs(info.key)) return WithoutIdentity{WithoutIdentity::kRemains, info.key};
  }
  for (const std::string& key : {LogKey(1), SnapshotManifestKey(1)}) {
    Result<bool> there = IsThere(reader, key);
    if (!there.ok()) return there.status();
    if (*there) return WithoutIdentity{WithoutIdentity::kRemains, key};
  }
  if (list->empty()) return WithoutIdentity{};
  return WithoutIdentity{WithoutIdentity::kForeign, list->front().key};
}

Result<bool> FirstSnapshotUnfinished(const ReplicaReader& reader, const Catalogue& catalogue) {
  if (!catalogue.NothingToRestoreYet()) return false;
  // One was finished, whatever became of it.
  Result<bool> restorable = IsThere(reader, kRestorableKey);
  if (!restorable.ok()) return restorable.status();
  if (*restorable) return false;
  // A writer ships transactions only while it copies a snapshot or when it has one.
  if (!catalogue.unfinished_snapshots.empty()) return true;
  if (!catalogue.packs.empty()) return false;
  for (const auto& [number, size] : catalogue.singles) {
    Result<std::string> bytes = reader.Get(LogKey(number));
    if (!bytes.ok()) return bytes.status();
    Result<LogObject> object = ParseLogObject(AsBytes(*bytes), number);
    if (!object.ok()) return object.status().Wrap(reader.Describe() + "/" + LogKey(number));
    if (!object->segments.empty()) return false;
  }
  return true;
}

}  // namespace backstay
