// Where a database is rebuilt: PageStore (a file), and DatabaseImage, which keeps the page hashes
// and their sum as pages are written.
//
// Both belong to one replay, one thread; only Read and Write of PageStore are called on several at
// once, for ranges that do not overlap. Errors are kIo with the path (disk full among them), and
// kCorrupt for a size that the replica's objects do not justify.

#ifndef BACKSTAY_UPLOADER_REPLICA_PAGE_STORE_H_
#define BACKSTAY_UPLOADER_REPLICA_PAGE_STORE_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "uploader/base/bytes.h"
#include "uploader/base/file.h"
#include "uploader/base/status.h"

namespace backstay {

class PageStore {
 public:
  virtual ~PageStore() = default;
  virtual Status Write(uint64_t offset, Bytes data) = 0;
  // `n` bytes; what was never written reads as zeros.
  virtual Status Read(uint64_t offset, uint8_t* out, size_t n) = 0;
  // Cuts off, or extends with zeros.
  virtual Status Truncate(uint64_t size) = 0;
};

class FilePageStore : public PageStore {
 public:
  // What becomes of the file. One that stays will be fsynced: the disk begins with what has come
  // while the rest is still on its way, so that the fsync finds little left to do.
  enum class Use { kScratch, kStays };

  // `fd` outlives the store; `path` is for messages.
  FilePageStore(const Fd& fd, std::string path, Use use = Use::kScratch)
      : fd_(fd), path_(std::move(path)), use_(use) {}

  Status Write(uint64_t offset, Bytes data) override;
  Status Read(uint64_t offset, uint8_t* out, size_t n) override;
  Status Truncate(uint64_t size) override;

 private:
  const Fd& fd_;
  const std::string path_;
  const Use use_;
};

class DatabaseImage {
 public:
  // `max_pages`: no database that is being rebuilt can be larger.
  DatabaseImage(PageStore* store, uint32_t page_size, uint64_t max_pages);

  uint32_t pages() const { return static_cast<uint32_t>(hashes_.size()); }
  // The hashes of consecutive pages from `first`, which are in the store already.
  Status NoteRun(uint32_t first, const std::vector<uint64_t>& hashes);
  // `hash`: the page hash of `image`. Grows the database when it is too short.
  Status WritePage(uint32_t pgno, Bytes image, uint64_t hash);
  Status ReadPage(uint32_t pgno, uint8_t* out);
  Status Resize(uint32_t pages);
  // The database checksum (format/README.md). Pages that were never written are zeros.
  uint64_t Checksum();
  // [pgno - 1]; 0 for the lock-byte page. Complete after Checksum().
  std::vector<uint64_t> TakeHashes() { return std::move(hashes_); }

 private:
  void SetHash(uint32_t pgno, uint64_t hash);
  Status ResizeHashes(uint32_t pages);

  PageStore* const store_;
  const uint32_t page_size_;
  const uint64_t max_pages_;
  const uint32_t lock_page_;
  std::vector<uint64_t> hashes_;  // 0: never written, or the lock-byte page
  uint64_t sum_ = 0;
  uint64_t unwritten_ = 0;  // zeros in hashes_
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_PAGE_STORE_H_
