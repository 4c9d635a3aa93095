// One segment: a run of consecutive transactions, as specified in uploader/format/README.md.
//
// SegmentWriter (used by capture/, on the capture thread; not thread-safe, reusable) and Segment
// (the parsed form; any thread). Both validate: the writer returns kInvalid rather than emit a
// segment that its reader would refuse; the reader returns kCorrupt for any damage.

#ifndef BACKSTAY_UPLOADER_FORMAT_SEGMENT_H_
#define BACKSTAY_UPLOADER_FORMAT_SEGMENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "uploader/base/bytes.h"
#include "uploader/base/status.h"

namespace backstay {

class FrameDecoder;

// Persistent: values are part of the format.
enum SegmentFlag : uint8_t { kSegmentMore = 1, kSegmentChecksum = 2, kSegmentRepair = 4 };

inline constexpr uint32_t kMaxSegmentFrames = 16;
inline constexpr uint64_t kMaxSegmentBytes = 64 << 20;
inline constexpr uint32_t kMaxSegmentSteps = 1 << 16;
// By which a database may have grown without any entry for them, since a snapshot.
inline constexpr uint32_t kMaxUnwrittenPages = 1 << 20;

// Entries per zstd frame at this page size: clamp(1 MiB / page size, 1, 256).
uint32_t FramePages(uint32_t page_size);
// The page that holds SQLite's lock bytes (offset 2^30), never shipped.
uint32_t LockBytePage(uint32_t page_size);

// How an entry tells its page's new image. Persistent: values are part of the format.
enum class EntryKind : uint8_t {
  kFull = 0,     // the whole image
  kBased = 1,    // the whole image; the one before the frame is part of the frame's zstd prefix
  kPatched = 2,  // a patch of the image just before the entry (page_patch.h)
};

struct SegmentEntry {
  uint32_t pgno = 0;
  EntryKind kind = EntryKind::kFull;
};

// An image of page_size bytes and its page hash; null: not known.
struct PageVersion {
  const uint8_t* image = nullptr;
  uint64_t hash = 0;
};

struct SegmentStep {
  uint64_t transactions = 1;
  int64_t time_ms = 0;
  uint32_t pages = 0;  // database size after the step
  std::vector<SegmentEntry> entries;
};

struct SegmentHeader {
  uint8_t flags = 0;
  uint32_t page_size = 0;  // bytes
  uint64_t number = 0;
  uint64_t first_txid = 0;
  uint64_t previous_hash = 0;
  uint64_t checksum = 0;  // of the database after the segment; valid with kSegmentChecksum
};

// Begin, then for each step: BeginStep, Add…, EndStep; then Finish. Bounded memory: buffers of at
// most 1 MiB per frame and the compressed output. What a void function finds wrong is reported by
// the next one that returns a Status; after an error nothing but Begin helps.
class SegmentWriter {
 public:
  SegmentWriter();
  ~SegmentWriter();
  SegmentWriter(const SegmentWriter&) = delete;
  SegmentWriter& operator=(const SegmentWriter&) = delete;

  // Drops anything unfinished.
  void Begin(uint32_t page_size);
  // `transactions` is 0 in the last step of a segment that will be flagged kSegmentMore, and only
  // there. A time before the previous step's is taken as that one's.
  void BeginStep(uint64_t transactions, int64_t time_ms);
  // Ascending pgno within a step. `old` is the page just before, if known. Both are copied.
  Status Add(uint32_t pgno, const PageVersion& now, const PageVersion& old);
  // `pages`: database size after the step.
  void EndStep(uint32_t pages);
  // Entries that may still be added (16 frames in all); 0 too when no step may follow.
  uint32_t Room() const;
  // True when the current frame holds this page already: its readers know the image before.
  bool InFrame(uint32_t pgno) const;
  // Entries added so far.
  uint32_t entries() const;
  // The segment's bytes, each frame of which was decompressed again and compared. The writer then
  // needs Begin.
  Result<std::string> Finish(const SegmentHeader& header);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

class Segment {
 public:
  // Parses and verifies the hash of the segment that starts at `data`; `*consumed` is its whole
  // size, length field included. `data` must outlive the Segment.
  static Result<Segment> Parse(Bytes data, size_t* consumed);

  const SegmentHeader& header() const { return header_; }
  const std::vector<SegmentStep>& steps() const { return steps_; }
  uint64_t hash() const { return hash_; }
  // Transactions that end in this segment.
  uint64_t transactions() const;
  // Last transaction that ends in it (first_txid - 1 when none does).
  uint64_t last_txid() const { return header_.first_txid + transactions() - 1; }
  bool more() const { return (header_.flags & kSegmentMore) != 0; }
  bool has_checksum() const { return (header_.flags & kSegmentChecksum) != 0; }

  // Old image of a page into `out` (page_size bytes).
  using BaseReader = std::function<Status(uint32_t pgno, uint8_t* out)>;
  // One new image and its page hash; `step` indexes steps().
  using PageSink = std::function<Status(size_t step, uint32_t pgno, Bytes image, uint64_t hash)>;
  // Decompresses frame by frame in order: `base` for the pages of a frame whose old images it
  // needs, then `sink` for its images, which `base` must know when it is asked for a later frame.
  // kCorrupt when the old or the new images do not match their hash; that is found before `sink`
  // sees the last frame. `decoder` saves the set-up when many segments are applied; null makes one.
  Status Apply(const BaseReader& base, const PageSink& sink, FrameDecoder* decoder = nullptr) const;

 private:
  struct Parser;

  // A frame as it lies in the segment: what its zstd frame holds is the whole images of its
  // entries, then its patches.
  struct Frame {
    uint32_t entries = 0;
    uint32_t images = 0;  // entries with a whole image
    size_t patch_bytes = 0;
    Bytes zstd;
  };
  class FrameReader;

  SegmentHeader header_;
  uint64_t pages_hash_ = 0;
  uint64_t hash_ = 0;
  std::vector<SegmentStep> steps_;
  std::vector<Frame> frames_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_FORMAT_SEGMENT_H_
