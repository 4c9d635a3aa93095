#include "uploader/base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace backstay {

uint64_t Hash(Bytes data) { return XXH3_64bits(data.data(), data.size()); }

uint64_t PageHash(uint32_t pgno, Bytes image) {
  uint64_t h = XXH3_64bits_withSeed(image.data(), image.size(), pgno);
  return h == 0 ? 1 : h;
}

}  // namespace backstay
