// Encoder: turns transactions into segments, in step with the page hash index, and appends them to
// the outbox.
//
// Used by Capture under the pipeline's mutex. Owns the compressor and the page cache; index and
// outbox belong to the pipeline. An old image is used as a base only if its hash equals the index
// entry. On an error the pages concerned become unknown in the index, so that the next repair ships
// them: nothing is lost.

#ifndef BACKSTAY_UPLOADER_CAPTURE_ENCODER_H_
#define BACKSTAY_UPLOADER_CAPTURE_ENCODER_H_

#include <cstdint>
#include <vector>

#include "uploader/base/status.h"
#include "uploader/capture/page_cache.h"
#include "uploader/capture/page_source.h"
#include "uploader/format/segment.h"
#include "uploader/state/outbox.h"
#include "uploader/state/page_index.h"

namespace backstay {

struct PageImage {
  uint32_t pgno = 0;
  const uint8_t* image = nullptr;
  const uint8_t* old = nullptr;  // what is known of the image before, if anything
};

struct EncoderStep {
  uint64_t transactions = 1;  // 0: the transaction goes on in the next segment
  int64_t time_ms = 0;
  uint32_t pages = 0;             // database size after it
  std::vector<PageImage> images;  // ascending page numbers
};

class Encoder {
 public:
  struct Options {
    uint32_t page_size = 0;
    uint64_t cache_bytes = 0;
    PageIndex* index = nullptr;
    PageSource* source = nullptr;
    Outbox* outbox = nullptr;
  };
  explicit Encoder(const Options& options);

  // One segment of these steps (at most 16 frames of images in all). `wal` is the place in the WAL
  // after them.
  Status Encode(const std::vector<EncoderStep>& steps, bool repair, const WalMark& wal);

  // The last segment was flagged kSegmentMore: the next step that ends a transaction ends that one
  // too.
  bool open() const { return head_.open; }
  const LogHead& head() const { return head_; }
  void set_head(const LogHead& head) { head_ = head; }

  // While a snapshot is copied, a page's first image after the start goes out in full, and during
  // the first snapshot
  // (`first`) no segment carries a checksum.
  void BeginSnapshot(bool first);
  // The same of a first one that an earlier process has begun: its segments may hold the pages that
  // are true in `held`.
  void GoOnWithSnapshot(bool first, std::vector<bool> held);
  void EndSnapshot();
  bool snapshot_active() const { return snapshot_; }
  bool first_snapshot_active() const { return first_snapshot_; }
  bool Touched(uint32_t pgno) const { return pgno <= touched_.size() && touched_[pgno - 1]; }
  // A segment since the snapshot began may hold the page.
  bool MayHold(uint32_t pgno) const {
    return Touched(pgno) || (pgno <= held_.size() && held_[pgno - 1]);
  }

  // Counters for status and benchmarks.
  uint64_t pages_encoded() const { return pages_encoded_; }
  uint64_t pages_based() const { return pages_based_; }
  // Result of the last append to the outbox: an error means the segment is only in memory.
  const Status& outbox_status() const { return outbox_status_; }

 private:
  void Grow(const EncoderStep& step, EncodedSegment* encoded);
  Status EncodeStep(const EncoderStep& step, EncodedSegment* encoded);
  Status EncodePage(const PageImage& page, EncodedSegment* encoded);
  // The page as a reader knows it before the entry that comes; null: the whole image must go.
  PageVersion OldOf(const PageImage& page);
  void MakeUnknown(const std::vector<EncoderStep>& steps, const EncodedSegment& encoded);

  const Options options_;
  SegmentWriter writer_;
  PageCache cache_;
  std::vector<uint8_t> base_;
  LogHead head_;
  uint32_t least_pages_ = 0;  // smallest database size since the segment began
  bool snapshot_ = false;
  bool first_snapshot_ = false;
  std::vector<bool> touched_;
  std::vector<bool> held_;
  uint64_t pages_encoded_ = 0;
  uint64_t pages_based_ = 0;
  Status outbox_status_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_CAPTURE_ENCODER_H_
