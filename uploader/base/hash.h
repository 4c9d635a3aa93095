// The two hashes of the formats, both XXH3-64 (xxhash.com): of a byte string, and of a page.
//
// Any thread, cannot fail; a Hasher belongs to one thread at a time. Neither hash resists an
// adversary; they find accidents.

#ifndef BACKSTAY_UPLOADER_BASE_HASH_H_
#define BACKSTAY_UPLOADER_BASE_HASH_H_

#include <cstdint>
#include <memory>

#include "uploader/base/bytes.h"

namespace backstay {

uint64_t Hash(Bytes data);

// Hash() of bytes that come in pieces.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;

  void Reset();
  void Update(Bytes data);
  uint64_t Digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Seeded with the page number, so that the sum over all pages of a database (its checksum) sees
// two pages that changed places. Never 0: 0 means "not known" in the page hash index.
uint64_t PageHash(uint32_t pgno, Bytes image);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_BASE_HASH_H_
