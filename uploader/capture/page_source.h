// PageSource: where page images of the local database come from: the current WAL, else the database
// file.
//
// Used by Capture and by snapshots under the pipeline's mutex. The database file is read only
// through the host's VFS (a descriptor of ours would drop SQLite's locks when closed). Owns the map
// from page to its last encoded WAL frame: 4 bytes per page, of the parts of the database that the
// WAL has frames of. A buffer that is not of the size of a page is kInvalid. Errors: kIo.

#ifndef BACKSTAY_UPLOADER_CAPTURE_PAGE_SOURCE_H_
#define BACKSTAY_UPLOADER_CAPTURE_PAGE_SOURCE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <unordered_map>
#include <utility>

#include "uploader/base/status.h"
#include "uploader/capture/page_buffer.h"
#include "uploader/capture/wal_reader.h"

namespace backstay {

// Reads up to n bytes of the database file at an offset: bytes read, or -1.
using FileReader = std::function<int64_t(void* out, int64_t n, int64_t offset)>;

class PageSource {
 public:
  PageSource(uint32_t page_size, WalReader* wal, FileReader file)
      : page_size_(page_size), wal_(wal), file_(std::move(file)) {}

  // The page's newest image among the encoded frames is in this frame of the current WAL.
  void NoteFrame(uint32_t pgno, uint32_t frame);
  // The WAL began anew. Frames noted from here on are of the WAL that the reader stands in.
  void ForgetFrames();

  // The image that the database has after the encoded frames, or a later committed one that a
  // checkpoint has already put into the file. Beyond the end of the file: zeros.
  Status Current(uint32_t pgno, PageBuffer out);
  // The image with this page hash, from the WAL or the file; false when neither has it.
  bool Find(uint32_t pgno, uint64_t hash, PageBuffer out);
  uint32_t page_size() const { return page_size_; }

 private:
  // Page numbers come from a file: one that is far away costs no more than the part it is in.
  static constexpr uint32_t kPartPages = 256;
  using Part = std::array<uint32_t, kPartPages>;

  Status FromFile(uint32_t pgno, PageBuffer out);
  uint32_t FrameOf(uint32_t pgno) const;

  // The WAL file is still the one in which the frames were noted: in the next one the same frame
  // number may hold the same page, not yet committed.
  bool SameWal() const { return noted_in_.SameWal(wal_->Start()); }

  const uint32_t page_size_;
  WalReader* const wal_;
  const FileReader file_;
  std::unordered_map<uint32_t, Part> frames_;  // [pgno / kPartPages]; 0: not in the WAL
  WalMark noted_in_;                           // start of their WAL
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_CAPTURE_PAGE_SOURCE_H_
