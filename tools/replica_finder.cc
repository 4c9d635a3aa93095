#include "tools/replica_finder.h"

#include "uploader/format/keys.h"

namespace backstay {
namespace {

constexpr uint64_t kMaxIdentityBytes = 64 << 10;

// `folder`: "" or "a/b/".
Status LookInto(const ReplicaReader& reader, const std::string& folder, int depth,
                std::vector<std::string>* found) {
  GetOptions small;
  small.max_bytes = kMaxIdentityBytes;
  Result<std::string> identity = reader.Get(folder + kIdentityKey, small);
  if (identity.ok()) {
    found->push_back(folder.substr(0, folder.size() - 1));
    return Status::Ok();
  }
  if (identity.status().code() != Code::kNotFound) return identity.status();
  if (depth == kMaxFolderDepth) return Status::Ok();
  ListOptions options;
  options.prefix = folder;
  options.folders = true;
  Result<std::vector<ObjectInfo>> folders = reader.List(options);
  if (!folders.ok()) return folders.status();
  for (const ObjectInfo& each : *folders) {
    BACKSTAY_TRY(LookInto(reader, each.key, depth + 1, found));
  }
  return Status::Ok();
}

}  // namespace

Result<std::vector<std::string>> FindReplicas(const ReplicaReader& reader) {
  std::vector<std::string> found;
  Status looked = LookInto(reader, "", 0, &found);
  if (!looked.ok()) return looked;
  return found;
}

}  // namespace backstay
