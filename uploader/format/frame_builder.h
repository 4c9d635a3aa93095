// FrameBuilder: collects the entries of one segment frame after the other, and chooses how each
// page is told: in full, in full with its old image to lean on, or as a patch.
//
// Owned by a SegmentWriter, one thread. Memory is bounded by a frame: at most 1 MiB each of images,
// old images and prefix. Flush() fails with kIo when zstd gets no memory, and with kCorrupt when
// what was written does not read back.

#ifndef BACKSTAY_UPLOADER_FORMAT_FRAME_BUILDER_H_
#define BACKSTAY_UPLOADER_FORMAT_FRAME_BUILDER_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "uploader/base/bytes.h"
#include "uploader/base/hash.h"
#include "uploader/base/status.h"
#include "uploader/format/frame_codec.h"
#include "uploader/format/page_patch.h"
#include "uploader/format/segment.h"

namespace backstay {

class FrameBuilder {
 public:
  // A new segment.
  void Begin(uint32_t page_size);
  // Adds an entry; `old.image` may be null. REQUIRES: !full().
  EntryKind Add(uint32_t pgno, const PageVersion& now, const PageVersion& old);
  // Appends the frame to `out` and starts the next one; nothing when it is empty.
  Status Flush(ByteWriter* out);

  bool full() const { return new_hashes_.size() == FramePages(page_size_); }
  bool Holds(uint32_t pgno) const {
    return std::find(pages_.begin(), pages_.end(), pgno) != pages_.end();
  }
  // Of all frames since Begin(): what SegmentHeader calls the pages hash.
  uint64_t pages_hash() const { return hasher_.Digest(); }

 private:
  struct Member {
    uint64_t hash = 0;     // of its newest image
    size_t old_at = 0;     // in olds_, when it has an old image there
    bool has_old = false;  // what it was before the frame is in olds_
    bool whole = false;    // an entry of the frame has its whole image
  };
  void Clear();
  Member* Find(uint32_t pgno);
  EntryKind AddFirst(uint32_t pgno, const PageVersion& now, const PageVersion& old);
  EntryKind AddAgain(Member* member, uint32_t pgno, const PageVersion& now, const PageVersion& old);
  bool Patch(uint32_t pgno, const PageVersion& now, const PageVersion& old);

  FrameEncoder encoder_;
  PagePatcher patcher_;
  Hasher hasher_;
  uint32_t page_size_ = 0;
  std::vector<uint64_t> old_hashes_;  // of the images before the frame that a reader needs
  std::vector<uint64_t> new_hashes_;
  // Each page of the frame once, in order of its first entry.
  std::vector<uint32_t> pages_;
  std::vector<Member> members_;
  std::vector<uint8_t> images_;
  std::vector<uint8_t> olds_;
  std::vector<uint8_t> prefix_;
  std::vector<uint8_t> check_;
  ByteWriter patches_;
  Status status_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_FORMAT_FRAME_BUILDER_H_
