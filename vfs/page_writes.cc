#include "vfs/page_writes.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace backstay {
namespace {

constexpr size_t kMaxImageBytes = 4 << 20;
constexpr size_t kMaxImages = 2048;
constexpr size_t kMaxPageNumbers = 1 << 20;

constexpr int kHeaderBytes = 100;
constexpr char kMagic[] = "SQLite format 3";  // with its NUL
constexpr int kPageSizeAt = 16;
constexpr int kWriteVersionAt = 18;

}  // namespace

DatabaseHeader ReadHeader(const InnerFile& file) noexcept {
  DatabaseHeader header;
  uint8_t bytes[kHeaderBytes];
  header.there = file.Read(bytes, kHeaderBytes, 0);
  if (!header.there || memcmp(bytes, kMagic, sizeof kMagic) != 0) return header;
  uint32_t size = static_cast<uint32_t>(bytes[kPageSizeAt] << 8 | bytes[kPageSizeAt + 1]);
  if (size == 1) size = 65536;
  header.valid = size >= 512 && (size & (size - 1)) == 0;
  header.wal = bytes[kWriteVersionAt] == 2;
  header.page_size = header.valid ? size : 0;
  return header;
}

void PageWrites::Begin(const InnerFile& file) noexcept {
  open_ = true;
  page_size_ = ReadHeader(file).page_size;
  max_images_ = page_size_ == 0 ? 0 : std::min(kMaxImages, kMaxImageBytes / page_size_);
  old_size_ = file.Size();
  // Of a database that was not there nothing can be known but that all of it is new.
  lost_ = page_size_ == 0;
}

void PageWrites::Clear() noexcept {
  open_ = false;
  least_size_ = INT64_MAX;
  if (few()) {
    for (uint32_t pgno : pgnos_) marked_[pgno - 1] = false;
  } else {
    marked_ = {};
  }
  pgnos_.clear();
  old_.clear();
}

void PageWrites::Write(const InnerFile& file, int n, int64_t offset) {
  if (lost_ || n <= 0) return;
  const int64_t last = (offset + n - 1) / page_size_ + 1;
  for (int64_t pgno = offset / page_size_ + 1; pgno <= last; pgno++) {
    Mark(file, static_cast<uint32_t>(pgno));
  }
}

void PageWrites::Mark(const InnerFile& file, uint32_t pgno) {
  if (pgno > marked_.size()) marked_.resize(pgno, false);
  if (marked_[pgno - 1]) return;
  if (few()) {
    pgnos_.push_back(pgno);
    const int64_t offset = int64_t{pgno - 1} * page_size_;
    if (few()) {
      old_.resize(pgnos_.size() * page_size_);
      uint8_t* image = old_.data() + old_.size() - page_size_;
      // What is not there stays zeros, and a page of which that is wrong is sent whole.
      const bool there = offset + page_size_ <= std::min(old_size_, least_size_);
      if (there) static_cast<void>(file.Read(image, static_cast<int>(page_size_), offset));
    } else {
      old_ = {};
    }
  }
  marked_[pgno - 1] = true;
}

void PageWrites::Truncate(int64_t size) noexcept { least_size_ = std::min(least_size_, size); }

// Pages that were cut off and came back, perhaps without being written: they are zeros now.
void PageWrites::MarkRegrown(const InnerFile& file) {
  if (least_size_ == INT64_MAX) return;
  const int64_t end = std::min(old_size_, file.Size());
  for (int64_t at = least_size_ / page_size_; at < end / page_size_; at++) {
    Mark(file, static_cast<uint32_t>(at + 1));
  }
}

PageWrites::Pages PageWrites::Collect(const InnerFile& file) {
  Pages pages;
  pages.page_size = page_size_;
  pages.complete = !lost_ && page_size_ != 0 && ReadHeader(file).page_size == page_size_;
  if (!pages.complete) return pages;
  MarkRegrown(file);
  const auto end = static_cast<uint32_t>(file.Size() / page_size_);
  if (!few()) {
    for (uint32_t pgno = 1; pgno <= std::min<size_t>(end, marked_.size()); pgno++) {
      if (marked_[pgno - 1]) pages.pgnos.push_back(pgno);
      if (pages.pgnos.size() <= kMaxPageNumbers) continue;
      pages.complete = false;
      break;
    }
    return pages;
  }
  std::vector<uint32_t> order(pgnos_.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [this](uint32_t a, uint32_t b) { return pgnos_[a] < pgnos_[b]; });
  pages.old.reserve(order.size() * page_size_);
  pages.images.resize(order.size() * page_size_);
  for (uint32_t i : order) {
    const uint32_t pgno = pgnos_[i];
    if (pgno > end) break;
    pages.pgnos.push_back(pgno);
    const uint8_t* old = old_.data() + size_t{i} * page_size_;
    pages.old.insert(pages.old.end(), old, old + page_size_);
    uint8_t* image = pages.images.data() + (pages.pgnos.size() - 1) * page_size_;
    const int n = static_cast<int>(page_size_);
    if (!file.Read(image, n, int64_t{pgno - 1} * page_size_)) pages.complete = false;
  }
  return pages;
}

}  // namespace backstay
