// Snapshots: frames of pages and the manifest that makes them one. Specified in
// uploader/format/README.md.
//
// Values and pure functions, any thread. Readers return kCorrupt or kNewer.

#ifndef BACKSTAY_UPLOADER_FORMAT_SNAPSHOT_H_
#define BACKSTAY_UPLOADER_FORMAT_SNAPSHOT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "uploader/base/bytes.h"
#include "uploader/base/status.h"
#include "uploader/format/log_object.h"

namespace backstay {

inline constexpr uint32_t kSnapshotFrameBytes = 4 << 20;
// No encoded frame is longer: a manifest that says so is corrupt.
inline constexpr uint64_t kMaxSnapshotObjectBytes = 8 << 20;
// Pages per frame: 4 MiB / page size.
inline uint32_t SnapshotFramePages(uint32_t page_size) { return kSnapshotFrameBytes / page_size; }

// `images` is a whole number of pages, at most 4 MiB, else kInvalid; the lock-byte page may hold
// anything. `hashes` receives their page hashes. `level` is zstd's. A frame that cannot be
// compressed (out of memory) is kIo.
Result<std::string> EncodeSnapshotFrame(uint32_t page_size, uint32_t first_page, Bytes images,
                                        std::vector<uint64_t>* hashes, int level = 1);

struct SnapshotFrame {
  uint32_t page_size = 0;
  uint32_t first_page = 0;
  std::vector<uint64_t> hashes;
  std::string images;  // hashes.size() pages
};
// Verifies the object's hash and every page hash.
Result<SnapshotFrame> DecodeSnapshotFrame(Bytes data);
// The same into a frame whose memory is used again.
Status DecodeSnapshotFrame(Bytes data, SnapshotFrame* frame);

// Bytes in which the head of a frame of so many pages lies: all before its images.
inline uint64_t SnapshotHeadBytes(uint64_t pages) { return 14 + 8 * pages; }
// The head alone, from an object or the beginning of one: proven by nothing but what it is compared
// with. `images` stays empty.
Result<SnapshotFrame> ParseSnapshotHead(Bytes data);
// kCorrupt unless `images` are the pages from `first` of these hashes.
Status CheckSnapshotPages(uint32_t first, uint32_t page_size, const std::vector<uint64_t>& hashes,
                          Bytes images);

struct SnapshotManifest {
  uint32_t page_size = 0;
  DatabaseId database_id{};
  uint64_t nonce = 0;
  uint64_t epoch = 0;
  uint64_t base = 0;  // log number of the newest record before it that states a page size; 0: none
  uint64_t next_log_number = 0;
  uint64_t segment_number = 0;  // the last segment that need not be replayed
  uint64_t segment_hash = 0;
  uint64_t start_txid = 0;
  uint64_t consistent_txid = 0;
  int64_t consistent_time_ms = 0;
  uint32_t pages = 0;            // covered by the frames
  uint64_t frames_checksum = 0;  // sum, modulo 2^64, of the page hashes in the frames
  std::vector<uint64_t> frame_bytes;
};

Result<std::string> EncodeSnapshotManifest(const SnapshotManifest& manifest);
// Frame count must equal ceil(pages / SnapshotFramePages).
Result<SnapshotManifest> ParseSnapshotManifest(Bytes data);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_FORMAT_SNAPSHOT_H_
