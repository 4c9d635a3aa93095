#include "uploader/replica/frames_ahead.h"

#include <algorithm>
#include <utility>

#include "uploader/base/caught.h"
#include "uploader/format/keys.h"

namespace backstay {

bool FramesAhead::IsOf(const SnapshotManifest& manifest) const {
  return snapshot_ == manifest.next_log_number && nonce_ == manifest.nonce;
}

void FramesAhead::Begin(const SnapshotManifest& manifest) {
  if (IsOf(manifest)) return;
  Drop();
  snapshot_ = manifest.next_log_number;
  nonce_ = manifest.nonce;
  uint64_t bytes = 0;
  for (size_t i = 0; i < manifest.frame_bytes.size(); ++i) {
    bytes += manifest.frame_bytes[i];
    if (bytes > limits_.room) break;
    frames_.push_back({State::kIdle, SnapshotFrameKey(snapshot_, nonce_, static_cast<uint32_t>(i)),
                       manifest.frame_bytes[i]});
  }
  const size_t count = std::min(limits_.requests, frames_.size());
  threads_.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    Thread thread;
    // Fewer threads, or none: so many frames less are ahead.
    if (!thread.Start("backstay-read", [this] { Work(); })) return;
    threads_.push_back(std::move(thread));
  }
}

void FramesAhead::KeepOf(const SnapshotManifest& manifest) {
  if (!IsOf(manifest)) Drop();
}

void FramesAhead::Drop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  threads_.clear();
  snapshot_ = 0;
  std::lock_guard lock(mutex_);
  frames_.clear();
  next_ = 0;
  stop_ = false;
}

// One try: what is wrong with it, the replay finds out.
Result<std::string> FramesAhead::Fetch(const Frame& frame) const {
  GetOptions options;
  options.length = frame.bytes;
  options.max_bytes = frame.bytes;
  return client_->Get(frame.key, options);
}

void FramesAhead::Work() {
  std::unique_lock lock(mutex_);
  for (; !stop_ && next_ < frames_.size();) {
    // The vector stays as it is while there are threads.
    Frame& frame = frames_[next_++];
    if (frame.state != State::kIdle) continue;
    frame.state = State::kUnderWay;
    lock.unlock();
    std::string body;
    const Status fetched = Caught([&] {
      Result<std::string> got = Fetch(frame);
      if (got.ok()) body = std::move(*got);
      return got.status();
    });
    lock.lock();
    const bool whole = fetched.ok() && body.size() == frame.bytes;
    frame.state = whole ? State::kThere : State::kGone;
    if (whole) frame.body = std::move(body);
    arrived_.notify_all();
  }
}

std::optional<std::string> FramesAhead::Take(const SnapshotManifest& manifest, size_t frame,
                                             bool* waited) {
  *waited = false;
  std::unique_lock lock(mutex_);
  if (!IsOf(manifest) || frame >= frames_.size()) return std::nullopt;
  Frame& taken = frames_[frame];
  *waited = taken.state == State::kUnderWay;
  arrived_.wait(lock, [&] { return taken.state != State::kUnderWay; });
  if (std::exchange(taken.state, State::kGone) != State::kThere) return std::nullopt;
  return std::move(taken.body);
}

}  // namespace backstay
