#include "uploader/replica/page_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <stdexcept>

#include "uploader/base/hash.h"
#include "uploader/base/own_folder.h"
#include "uploader/format/segment.h"

namespace backstay {
namespace {

// Of one write: the page cache takes several small ones at half the cost of one that is large.
constexpr size_t kPiece = 128 << 10;
// What the disk begins with at once; single pages may be written again soon.
constexpr size_t kRun = 1 << 20;

}  // namespace

Status FilePageStore::Write(uint64_t offset, Bytes data) {
  const auto begin = static_cast<off64_t>(offset);
  const auto length = static_cast<off64_t>(data.size());
  const bool begins = use_ == Use::kStays && data.size() >= kRun;
  while (!data.empty()) {
    const Bytes piece = data.first(std::min(data.size(), kPiece));
    BACKSTAY_TRY(WriteAt(fd_, piece, static_cast<int64_t>(offset)).Wrap(path_));
    offset += piece.size();
    data = data.subspan(piece.size());
  }
  // Whatever it says: the fsync tells whether all has arrived.
  if (begins) (void)sync_file_range(fd_.get(), begin, length, SYNC_FILE_RANGE_WRITE);
  return Status::Ok();
}

Status FilePageStore::Read(uint64_t offset, uint8_t* out, size_t n) {
  Result<size_t> got = ReadAt(fd_, out, n, static_cast<int64_t>(offset));
  if (!got.ok()) return got.status().Wrap(path_);
  std::memset(out + *got, 0, n - *got);
  return Status::Ok();
}

Status FilePageStore::Truncate(uint64_t size) {
  BACKSTAY_TRY(CheckSizeLimit(static_cast<int64_t>(size)).Wrap(path_));
  if (ftruncate(fd_.get(), static_cast<off_t>(size)) == 0) return Status::Ok();
  return Status::Errno("resize " + path_, errno);
}

DatabaseImage::DatabaseImage(PageStore* store, uint32_t page_size, uint64_t max_pages)
    : store_(store),
      page_size_(page_size),
      max_pages_(max_pages),
      lock_page_(LockBytePage(page_size)) {}

void DatabaseImage::SetHash(uint32_t pgno, uint64_t hash) {
  uint64_t& old = hashes_[pgno - 1];
  if (old == 0) --unwritten_;
  sum_ += hash - old;
  old = hash;
}

Status DatabaseImage::ResizeHashes(uint32_t pages) {
  if (pages > max_pages_) {
    return {Code::kCorrupt, "a database of " + std::to_string(pages) +
                                " pages is more than the replica's objects can hold"};
  }
  for (size_t i = hashes_.size(); i > pages; --i) {
    if (hashes_[i - 1] == 0) --unwritten_;
    sum_ -= hashes_[i - 1];
  }
  if (pages > hashes_.size()) unwritten_ += pages - hashes_.size();
  try {
    hashes_.resize(pages);
  } catch (const std::bad_alloc&) {
    return {Code::kIo, "out of memory for a database of " + std::to_string(pages) + " pages"};
  }
  return Status::Ok();
}

Status DatabaseImage::Resize(uint32_t pages) {
  if (pages == hashes_.size()) return Status::Ok();
  BACKSTAY_TRY(ResizeHashes(pages));
  return store_->Truncate(uint64_t{pages} * page_size_);
}

Status DatabaseImage::NoteRun(uint32_t first, const std::vector<uint64_t>& hashes) {
  const auto count = static_cast<uint32_t>(hashes.size());
  if (first + count - 1 > hashes_.size()) BACKSTAY_TRY(ResizeHashes(first + count - 1));
  for (uint32_t i = 0; i < count; ++i) {
    if (first + i != lock_page_) SetHash(first + i, hashes[i]);
  }
  return Status::Ok();
}

Status DatabaseImage::WritePage(uint32_t pgno, Bytes image, uint64_t hash) {
  if (pgno == lock_page_) return {Code::kCorrupt, "a segment holds the lock-byte page"};
  if (pgno > hashes_.size()) BACKSTAY_TRY(ResizeHashes(pgno));
  SetHash(pgno, hash);
  return store_->Write(uint64_t{pgno - 1} * page_size_, image);
}

Status DatabaseImage::ReadPage(uint32_t pgno, uint8_t* out) {
  if (pgno > hashes_.size()) {
    return {Code::kCorrupt, "page " + std::to_string(pgno) + " is a base, but does not exist"};
  }
  return store_->Read(uint64_t{pgno - 1} * page_size_, out, page_size_);
}

uint64_t DatabaseImage::Checksum() {
  const bool has_lock_page = hashes_.size() >= lock_page_;
  if (unwritten_ > (has_lock_page ? 1 : 0)) {
    const std::string zeros(page_size_, '\0');
    for (uint32_t pgno = 1; pgno <= hashes_.size(); ++pgno) {
      if (hashes_[pgno - 1] == 0 && pgno != lock_page_) {
        SetHash(pgno, PageHash(pgno, AsBytes(zeros)));
      }
    }
  }
  return sum_;
}

}  // namespace backstay
