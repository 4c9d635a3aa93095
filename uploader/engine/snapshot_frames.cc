#include "uploader/engine/snapshot_frames.h"

#include <map>

#include "uploader/format/keys.h"

namespace backstay {
namespace {

Result<bool> HasBytes(ReplicaClient* client, const std::string& key, uint64_t bytes) {
  // Past the end of a frame of this size nothing is found: only the last byte is asked for.
  GetOptions last;
  last.offset = bytes - 1;
  last.length = 2;
  Result<std::string> got = client->Get(key, last);
  if (got.status().code() == Code::kNotFound) got = client->Get(key, last);
  if (got.status().code() == Code::kNotFound) return false;
  if (!got.ok()) return got.status();
  return got->size() == 1;
}

}  // namespace

Result<std::string> MissingFrame(ReplicaClient* client, const SnapshotManifest& manifest) {
  if (manifest.frame_bytes.empty()) return std::string();
  const std::string first = SnapshotFrameKey(manifest.next_log_number, manifest.nonce, 0);
  ListOptions list;
  list.prefix = first.substr(0, first.rfind('-') + 1);
  Result<std::vector<ObjectInfo>> objects = client->List(list);
  if (!objects.ok()) return objects.status();
  std::map<std::string, uint64_t> sizes;
  for (const ObjectInfo& object : *objects) sizes[object.key] = object.size;
  for (uint32_t frame = 0; frame < manifest.frame_bytes.size(); ++frame) {
    std::string key = SnapshotFrameKey(manifest.next_log_number, manifest.nonce, frame);
    const auto listed = sizes.find(key);
    if (listed != sizes.end() && listed->second == manifest.frame_bytes[frame]) continue;
    Result<bool> there = HasBytes(client, key, manifest.frame_bytes[frame]);
    if (!there.ok()) return there.status();
    if (!*there) return key;
  }
  return std::string();
}

}  // namespace backstay
