#include "uploader/replica/snapshot_load.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "uploader/format/keys.h"
#include "uploader/replica/pack_cover.h"

namespace backstay {

uint32_t SnapshotLoad::FirstPage(size_t frame) const {
  return static_cast<uint32_t>(frame) * SnapshotFramePages(manifest_.page_size) + 1;
}

uint32_t SnapshotLoad::Pages(size_t frame) const {
  return std::min(SnapshotFramePages(manifest_.page_size),
                  manifest_.pages - (FirstPage(frame) - 1));
}

// Whether the store holds the frame's pages; `found` then has their hashes.
Result<bool> SnapshotLoad::Find(const std::string& key, size_t frame, SnapshotFrame* found) {
  const uint32_t first = FirstPage(frame);
  const uint32_t count = Pages(frame);
  std::string& images = found->images;
  images.resize(uint64_t{count} * manifest_.page_size);
  auto* const bytes = reinterpret_cast<uint8_t*>(images.data());
  BACKSTAY_TRY(store_->Read(uint64_t{first - 1} * manifest_.page_size, bytes, images.size()));
  if (images.find_first_not_of('\0') == std::string::npos) return false;
  const uint64_t length = std::min(manifest_.frame_bytes[frame], SnapshotHeadBytes(count));
  Result<std::string> head = reader_.GetRange(key, 0, length);
  // Whatever is wrong with it, the whole object tells.
  if (!head.ok()) return false;
  Result<SnapshotFrame> parsed = ParseSnapshotHead(AsBytes(*head));
  if (!parsed.ok() || parsed->page_size != manifest_.page_size || parsed->first_page != first ||
      parsed->hashes.size() != count) {
    return false;
  }
  found->hashes = std::move(parsed->hashes);
  return CheckSnapshotPages(first, manifest_.page_size, found->hashes, AsBytes(images)).ok();
}

// A snapshot that is deleted loses its manifest first.
Result<std::string> SnapshotLoad::Fetch(const std::string& key, size_t frame) {
  bool waited = false;
  std::optional<std::string> there;
  if (ahead_ != nullptr) there = ahead_->Take(manifest_, frame, &waited);
  // What has come by now is none of what is still to come.
  if (there && !waited) found_bytes_ += there->size();
  if (there) return std::move(*there);
  Result<std::string> body = reader_.GetRange(key, 0, manifest_.frame_bytes[frame]);
  if (body.status().code() != Code::kNotFound) return body;
  const std::string manifest = SnapshotManifestKey(manifest_.next_log_number);
  const Status found = reader_.Get(manifest).status();
  if (found.code() == Code::kNotFound) return StaleListing(manifest);
  return found.ok() ? Status(Code::kCorrupt, body.status().message()) : found;
}

Status SnapshotLoad::Decode(const std::string& key, size_t frame, const std::string& body,
                            SnapshotFrame* decoded) {
  BACKSTAY_TRY(DecodeSnapshotFrame(AsBytes(body), decoded).Wrap(key));
  const uint32_t first = FirstPage(frame);
  if (decoded->page_size != manifest_.page_size || decoded->first_page != first ||
      decoded->hashes.size() != Pages(frame)) {
    return {Code::kCorrupt, key + ": belongs to another snapshot"};
  }
  // The lock-byte page of a frame is zeros: writing it along does no harm.
  return store_->Write(uint64_t{first - 1} * manifest_.page_size, AsBytes(decoded->images));
}

std::unique_ptr<SnapshotFrame> SnapshotLoad::Borrow() {
  std::unique_lock lock(mutex_);
  returned_.wait(lock, [this] { return lent_ < kBuffers; });
  // So that it can be given back without memory.
  idle_.reserve(kBuffers);
  std::unique_ptr<SnapshotFrame> frame;
  if (idle_.empty()) {
    frame = std::make_unique<SnapshotFrame>();
  } else {
    frame = std::move(idle_.back());
    idle_.pop_back();
  }
  ++lent_;
  return frame;
}

void SnapshotLoad::Return(std::unique_ptr<SnapshotFrame> frame) {
  std::lock_guard lock(mutex_);
  idle_.push_back(std::move(frame));
  --lent_;
  returned_.notify_one();
}

Result<std::vector<uint64_t>> SnapshotLoad::Load(size_t frame) {
  const std::string key =
      SnapshotFrameKey(manifest_.next_log_number, manifest_.nonce, static_cast<uint32_t>(frame));
  if (holds_pages_) {
    Buffer found(this);
    Result<bool> there = Find(key, frame, found.get());
    if (!there.ok()) return there.status();
    if (*there) {
      found_bytes_ += manifest_.frame_bytes[frame];
      return std::move(found.get()->hashes);
    }
  }
  Result<std::string> body = Fetch(key, frame);
  if (!body.ok()) return body.status();
  Buffer decoded(this);
  BACKSTAY_TRY(Decode(key, frame, *body, decoded.get()));
  return std::move(decoded.get()->hashes);
}

}  // namespace backstay
