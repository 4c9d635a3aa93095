// PageIndex: one hash per page of the database as last encoded, and their sum, the database
// checksum.
//
// Owned by one pipeline and used under its mutex. 8 bytes per page. Cannot fail but for memory.

#ifndef BACKSTAY_UPLOADER_STATE_PAGE_INDEX_H_
#define BACKSTAY_UPLOADER_STATE_PAGE_INDEX_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace backstay {

class PageIndex {
 public:
  // `lock_page` (the page with SQLite's lock bytes) is never known and never counted.
  explicit PageIndex(uint32_t lock_page) : lock_page_(lock_page) {}
  PageIndex(uint32_t lock_page, std::vector<uint64_t> hashes);

  uint32_t pages() const { return static_cast<uint32_t>(hashes_.size()); }
  // 0: not known, or beyond the end.
  uint64_t Get(uint32_t pgno) const { return pgno <= pages() && pgno > 0 ? hashes_[pgno - 1] : 0; }
  // Grows to hold pgno; 0 makes the page unknown again.
  void Set(uint32_t pgno, uint64_t hash);
  // Truncates or grows (with unknown pages).
  void Resize(uint32_t pages);
  void SetAllUnknown();
  // Grows to `pages`; the new ones are zeros (a database may grow by pages that nobody wrote).
  void GrowZeroed(uint32_t pages, uint32_t page_size);

  // Pages without a hash, the lock-byte page not counted.
  uint32_t unknown() const { return unknown_; }
  uint64_t checksum() const { return sum_; }
  const std::vector<uint64_t>& hashes() const { return hashes_; }

 private:
  uint32_t Countable(uint32_t pages) const { return pages >= lock_page_ ? pages - 1 : pages; }

  uint32_t lock_page_;
  std::vector<uint64_t> hashes_;
  uint64_t sum_ = 0;
  uint32_t known_ = 0;
  uint32_t unknown_ = 0;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_PAGE_INDEX_H_
