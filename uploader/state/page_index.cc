#include "uploader/state/page_index.h"

#include <utility>

#include "uploader/base/hash.h"

namespace backstay {

PageIndex::PageIndex(uint32_t lock_page, std::vector<uint64_t> hashes)
    : lock_page_(lock_page), hashes_(std::move(hashes)) {
  if (lock_page_ <= pages()) hashes_[lock_page_ - 1] = 0;
  for (uint64_t hash : hashes_) {
    sum_ += hash;
    known_ += hash != 0 ? 1 : 0;
  }
  unknown_ = Countable(pages()) - known_;
}

void PageIndex::Set(uint32_t pgno, uint64_t hash) {
  if (pgno > pages()) Resize(pgno);
  if (pgno == lock_page_) return;
  uint64_t old = std::exchange(hashes_[pgno - 1], hash);
  sum_ += hash - old;
  known_ += (hash != 0 ? 1 : 0) - (old != 0 ? 1 : 0);
  unknown_ = Countable(pages()) - known_;
}

void PageIndex::Resize(uint32_t pages) {
  for (size_t i = pages; i < hashes_.size(); ++i) {
    sum_ -= hashes_[i];
    known_ -= hashes_[i] != 0 ? 1 : 0;
  }
  hashes_.resize(pages, 0);
  unknown_ = Countable(pages) - known_;
}

void PageIndex::SetAllUnknown() {
  hashes_.assign(hashes_.size(), 0);
  sum_ = 0;
  known_ = 0;
  unknown_ = Countable(pages());
}

void PageIndex::GrowZeroed(uint32_t pages, uint32_t page_size) {
  uint32_t before = this->pages();
  if (pages <= before) return;
  Resize(pages);
  std::vector<uint8_t> zeros(page_size, 0);
  for (uint32_t pgno = before + 1; pgno <= pages; ++pgno) Set(pgno, PageHash(pgno, zeros));
}

}  // namespace backstay
