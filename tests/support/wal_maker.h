// Makes `-wal` files that SQLite never would: any page size, page number and database size, every
// checksum right (sqlite.org/fileformat2.html, 4.1-4.2).
//
// Any thread; cannot fail but for memory.

#ifndef BACKSTAY_TESTS_SUPPORT_WAL_MAKER_H_
#define BACKSTAY_TESTS_SUPPORT_WAL_MAKER_H_

#include <cstdint>
#include <string>

#include "uploader/base/bytes.h"

namespace backstay {

// The checksum over a WAL's words, little-endian, as a header with magic 0x377f0682 asks for.
struct WalSum {
  uint32_t s1 = 0;
  uint32_t s2 = 0;

  void Add(Bytes data) {
    for (size_t i = 0; i + 8 <= data.size(); i += 8) {
      s1 += LoadLe32(data.data() + i) + s2;
      s2 += LoadLe32(data.data() + i + 4) + s1;
    }
  }
};

class WalMaker {
 public:
  explicit WalMaker(uint32_t page_size, uint32_t salt = 7) : page_size_(page_size), salt_(salt) {
    for (uint32_t word : {0x377f0682U, 3007000U, page_size, 0U, salt, salt + 1}) Big(word);
    sum_.Add(AsBytes(wal_));
    Big(sum_.s1);
    Big(sum_.s2);
  }

  // `commit_pages`: the size of the database after it; 0: the transaction goes on.
  void Frame(uint32_t pgno, uint32_t commit_pages, char fill = 'x') {
    const size_t head = wal_.size();
    Big(pgno);
    Big(commit_pages);
    sum_.Add(AsBytes(wal_).subspan(head, 8));
    const std::string image(page_size_, fill);
    sum_.Add(AsBytes(image));
    for (uint32_t word : {salt_, salt_ + 1, sum_.s1, sum_.s2}) Big(word);
    wal_ += image;
  }

  const std::string& wal() const { return wal_; }
  uint32_t salt1() const { return salt_; }
  uint32_t salt2() const { return salt_ + 1; }

 private:
  void Big(uint32_t word) {
    for (int shift = 24; shift >= 0; shift -= 8) wal_ += static_cast<char>(word >> shift);
  }

  const uint32_t page_size_;
  const uint32_t salt_;
  WalSum sum_;
  std::string wal_;
};

}  // namespace backstay

#endif  // BACKSTAY_TESTS_SUPPORT_WAL_MAKER_H_
