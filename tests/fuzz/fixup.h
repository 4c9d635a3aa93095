// Makes the hashes of a mutated input right again, so that mutations reach what lies behind them.
//
// Called by the fuzz targets, one thread; bytes too short to hold the hash are left as they are.

#ifndef BACKSTAY_TESTS_FUZZ_FIXUP_H_
#define BACKSTAY_TESTS_FUZZ_FIXUP_H_

#include <cstdlib>
#include <string>

#include "uploader/base/bytes.h"
#include "uploader/base/hash.h"

namespace backstay {

inline std::string AsText(const uint8_t* data, size_t size) {
  return std::string(AsString(Bytes(data, size)));
}

inline uint8_t* MutableBytes(std::string* text) { return reinterpret_cast<uint8_t*>(text->data()); }

// The 8 bytes that end at `end` become the hash of those from `begin` to them.
inline void FixHash(std::string* text, size_t begin, size_t end) {
  if (end < begin + 8) return;
  StoreLe64(MutableBytes(text) + end - 8, Hash(AsBytes(*text).subspan(begin, end - 8 - begin)));
}

// Every segment from `begin` on, as far as their lengths lead.
inline void FixSegments(std::string* text, size_t begin) {
  while (begin < text->size()) {
    ByteReader in(AsBytes(*text).subspan(begin));
    const uint64_t length = in.Varint();
    if (!in.ok() || length > in.remaining()) return;
    const size_t end = begin + in.position() + length;
    FixHash(text, begin, end);
    begin = end;
  }
}

// A broken promise of the code under test.
inline void Require(bool promise) {
  if (!promise) std::abort();
}

}  // namespace backstay

#endif  // BACKSTAY_TESTS_FUZZ_FIXUP_H_
