// WalReader: reads committed frames from a `-wal` file through a descriptor of its own.
//
// The WAL carries no POSIX locks, so opening and closing it beside SQLite is safe (unlike the
// database and -shm). Used by Capture under the pipeline's mutex; SyncHandle() may be used from the
// ship thread. Every frame is checked for its salts and the cumulative checksum
// (sqlite.org/fileformat2.html, 4.1-4.3). Whether a frame is committed is the caller's knowledge:
// it names the last one. A WAL of another page size than the database is not read at all. Errors:
// kIo; kNotFound when frames that should be there are not; kForeign for that other page size.

#ifndef BACKSTAY_UPLOADER_CAPTURE_WAL_READER_H_
#define BACKSTAY_UPLOADER_CAPTURE_WAL_READER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "uploader/base/file.h"
#include "uploader/base/status.h"
#include "uploader/capture/page_buffer.h"
#include "uploader/state/positions.h"

namespace backstay {

// The header of a WAL, its checksum proven.
struct WalHeader {
  uint32_t page_size = 0;
  bool big_endian_checksums = false;
  WalMark start;
};
// None: not a header (yet).
Result<std::optional<WalHeader>> ReadWalHeader(const Fd& wal);

struct WalFrame {
  uint32_t frame = 0;              // 1-based
  uint32_t pgno = 0;               // 1-based
  uint32_t commit_pages = 0;       // database size after the transaction; 0: not its last frame
  const uint8_t* image = nullptr;  // valid until the next Read()
};

class WalReader {
 public:
  // `page_size`: of the database; frames have that size, whatever the file says.
  WalReader(std::string path, uint32_t page_size) : path_(std::move(path)), page_size_(page_size) {}

  // Opens the file, again if the path names another one by now, and reads its header. False: no
  // file, or no valid header yet. `unnamed`: one that is open and was moved or deleted counts, too.
  Result<bool> Refresh(bool unnamed = false);
  // Of the header that Refresh() found.
  WalMark Start() const { return start_; }
  // Frames that the file had room for at that time.
  uint32_t frames() const { return frames_; }

  // Goes to the place after `mark`. False when the WAL does not have that frame with that checksum.
  Result<bool> Seek(const WalMark& mark);
  // The place after a frame, from the checksum in its header; frame 0 is Start().
  Result<WalMark> MarkAt(uint32_t frame);
  const WalMark& mark() const { return mark_; }
  // The place after the last commit frame that Read() passed, or where Seek() went.
  const WalMark& last_commit() const { return last_commit_; }
  void RewindToCommit() { mark_ = last_commit_; }
  // The next frames in order, at most `max` and none beyond `last_frame`; advances mark(). A frame
  // that fails its check is kNotFound, with mark() before it.
  Status Read(size_t max, uint32_t last_frame, std::vector<WalFrame>* frames);
  // Calls `each` for frames first..last without reading images or checking checksums (salts are
  // checked).
  Status Headers(uint32_t first, uint32_t last, const std::function<void(const WalFrame&)>& each);
  // One image, if the frame still belongs to this WAL and this page; false when it does not. `out`
  // has the size of a page.
  Result<bool> Image(uint32_t frame, uint32_t pgno, PageBuffer out);
  // Read() has passed frames that SQLite left without salts and checksum in the middle of committed
  // ones: it does so when a savepoint of a transaction that was larger than its cache is rolled
  // back (3.40). Whoever names the last committed frame vouches for them as long as the header of
  // the file shows that the WAL has not begun anew.
  bool passed_bare() const { return passed_bare_; }
  // For fdatasync; null when the WAL was never opened.
  std::shared_ptr<Fd> SyncHandle() const { return fd_; }

 private:
  int64_t FrameBytes() const;
  int64_t Offset(uint32_t frame) const;
  bool HeadBelongs(const uint8_t* head) const;
  bool ChainHolds(const uint8_t* frame, WalMark* mark) const;
  Status Unchanged() const;

  const std::string path_;
  const uint32_t page_size_;
  std::shared_ptr<Fd> fd_;
  uint64_t inode_ = 0;
  uint32_t frames_ = 0;
  bool big_endian_checksums_ = false;
  WalMark start_;
  WalMark mark_;
  WalMark last_commit_;
  bool passed_bare_ = false;
  std::vector<uint8_t> buffer_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_CAPTURE_WAL_READER_H_
