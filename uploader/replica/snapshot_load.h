// SnapshotLoad: the frames of one snapshot, each straight to its place in a PageStore.
//
// Belongs to one replay; Load() may be called from several threads at once, for different frames.
// Fails with kCorrupt (a frame that is damaged, or of another snapshot), kUnavailable retryable
// when the snapshot is being deleted, the store's error or the client's. Memory: a frame's object
// for each call under way, and the pages of kBuffers frames, which are used again: many requests
// may wait for a server that is far away, but no more decode at once than there are buffers.
//
// Where the store may hold pages already (an interrupted restore, or one that had to plan anew), a
// frame whose pages are all there is not fetched: its head is, which holds their hashes. So nothing
// is believed of what lies in the store, whichever snapshot it came from.

#ifndef BACKSTAY_UPLOADER_REPLICA_SNAPSHOT_LOAD_H_
#define BACKSTAY_UPLOADER_REPLICA_SNAPSHOT_LOAD_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "uploader/format/snapshot.h"
#include "uploader/replica/frames_ahead.h"
#include "uploader/replica/page_store.h"
#include "uploader/replica/reader.h"

namespace backstay {

class SnapshotLoad {
 public:
  // All of them outlive it. `ahead`: may have some of them already; null: nobody has.
  SnapshotLoad(const ReplicaReader& reader, const SnapshotManifest& manifest, PageStore* store,
               bool holds_pages, FramesAhead* ahead)
      : reader_(reader),
        manifest_(manifest),
        store_(store),
        holds_pages_(holds_pages),
        ahead_(ahead) {}

  size_t frames() const { return manifest_.frame_bytes.size(); }
  uint32_t FirstPage(size_t frame) const;
  // Bytes of memory that Load() takes, and that all calls together take beside.
  uint64_t Cost(size_t frame) const { return manifest_.frame_bytes[frame]; }
  uint64_t BufferBytes() const { return kBuffers * kSnapshotFrameBytes; }
  // The hashes of its pages, once they are in the store.
  Result<std::vector<uint64_t>> Load(size_t frame);
  // Bytes of the objects that need not be fetched.
  uint64_t found_bytes() const { return found_bytes_; }

 private:
  static constexpr size_t kBuffers = 3;

  // A buffer for as long as it lives; waits until one is free.
  class Buffer {
   public:
    explicit Buffer(SnapshotLoad* load) : load_(load), frame_(load->Borrow()) {}
    ~Buffer() { load_->Return(std::move(frame_)); }
    Buffer(const Buffer&) = delete;
    Buffer& operator=(const Buffer&) = delete;
    SnapshotFrame* get() const { return frame_.get(); }

   private:
    SnapshotLoad* const load_;
    std::unique_ptr<SnapshotFrame> frame_;
  };

  uint32_t Pages(size_t frame) const;
  Result<bool> Find(const std::string& key, size_t frame, SnapshotFrame* found);
  Result<std::string> Fetch(const std::string& key, size_t frame);
  Status Decode(const std::string& key, size_t frame, const std::string& body,
                SnapshotFrame* decoded);
  std::unique_ptr<SnapshotFrame> Borrow();
  void Return(std::unique_ptr<SnapshotFrame> frame);

  const ReplicaReader& reader_;
  const SnapshotManifest& manifest_;
  PageStore* const store_;
  const bool holds_pages_;
  FramesAhead* const ahead_;
  std::atomic<uint64_t> found_bytes_{0};
  std::mutex mutex_;
  std::condition_variable returned_;
  std::vector<std::unique_ptr<SnapshotFrame>> idle_;  // guarded by mutex_
  size_t lent_ = 0;                                   // guarded by mutex_
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_SNAPSHOT_LOAD_H_
