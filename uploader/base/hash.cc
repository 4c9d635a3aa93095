#include "uploader/base/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace backstay {

uint64_t Hash(Bytes data) { return XXH3_64bits(data.data(), data.size()); }

struct Hasher::State {
  XXH3_state_t xxh;
};

Hasher::Hasher() : state_(std::make_unique<State>()) { Reset(); }
Hasher::~Hasher() = default;

void Hasher::Reset() { XXH3_64bits_reset(&state_->xxh); }
void Hasher::Update(Bytes data) { XXH3_64bits_update(&state_->xxh, data.data(), data.size()); }
uint64_t Hasher::Digest() const { return XXH3_64bits_digest(&state_->xxh); }

uint64_t PageHash(uint32_t pgno, Bytes image) {
  uint64_t h = XXH3_64bits_withSeed(image.data(), image.size(), pgno);
  return h == 0 ? 1 : h;
}

}  // namespace backstay
