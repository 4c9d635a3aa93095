// Transaction: what one write transaction in a rollback-journal mode left in the database file.
//
// Made on the application's thread that ended it, then constant; shared by the pipelines of a
// database and read on their capture threads. A plain value that cannot fail.

#ifndef BACKSTAY_UPLOADER_CAPTURE_TRANSACTION_H_
#define BACKSTAY_UPLOADER_CAPTURE_TRANSACTION_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace backstay {

struct Transaction {
  bool committed = false;       // else rolled back: its pages are again what they were
  bool complete = true;         // false: `pgnos` does not name all pages that changed
  uint32_t page_size = 0;       // bytes
  uint32_t pages = 0;           // database size after it
  int64_t time_ms = 0;          // wall clock, of its end
  std::vector<uint32_t> pgnos;  // ascending
  // One page each, in that order; empty when they were too many: the file has to be read again.
  std::vector<uint8_t> images;
  std::vector<uint8_t> old;  // before the transaction; what was not there is zeros

  bool has_images() const {
    const size_t whole = pgnos.size() * page_size;
    return complete && images.size() == whole && old.size() == whole;
  }
  uint64_t bytes() const { return images.size() + old.size() + pgnos.size() * sizeof(uint32_t); }
};

using TransactionPtr = std::shared_ptr<const Transaction>;

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_CAPTURE_TRANSACTION_H_
