#include "vfs/wal_index.h"

#include <array>
#include <cstddef>

#include "vfs/wal_writes.h"

namespace backstay {
namespace {

constexpr uint32_t kWalIndexVersion = 3007000;
constexpr size_t kHeaderWords = 12;
constexpr int kTries = 100;

using Header = std::array<uint32_t, kHeaderWords>;

enum Word { kVersion = 0, kChange = 2, kFlags = 3, kMaxFrame = 4, kPages = 5, kSalt1 = 8, kSalt2 };

uint32_t Load(const volatile void* shm, size_t word) noexcept {
  auto* words = static_cast<const uint32_t*>(const_cast<const void*>(shm));
  return __atomic_load_n(words + word, __ATOMIC_ACQUIRE);
}

uint32_t Salt(const uint32_t& word) noexcept {
  return LoadBigEndian32(reinterpret_cast<const uint8_t*>(&word));
}

// SQLite writes the second copy, then a barrier, then the first: the reader goes the other way, and
// no load passes an earlier one.
bool Agree(const volatile void* shm, Header* header) noexcept {
  for (size_t i = 0; i < kHeaderWords; i++) (*header)[i] = Load(shm, i);
  for (size_t i = 0; i < kHeaderWords; i++) {
    if ((*header)[i] != Load(shm, kHeaderWords + i)) return false;
  }
  return true;
}

bool Initialised(const Header& header) noexcept {
  const auto* flags = reinterpret_cast<const uint8_t*>(&header[kFlags]);
  return header[kVersion] == kWalIndexVersion && flags[0] == 1;
}

}  // namespace

uint64_t WalIndexFingerprint(const volatile void* shm) noexcept {
  const uint64_t count = uint64_t{Load(shm, kChange)} << 32 | Load(shm, kMaxFrame);
  const uint64_t salts = uint64_t{Load(shm, kSalt1)} << 32 | Load(shm, kSalt2);
  return (count ^ salts * 0x9E3779B97F4A7C15u) + Load(shm, kPages);
}

bool ReadWalIndex(const volatile void* shm, BackstayWalPosition* position) noexcept {
  Header header;
  for (int i = 0; i < kTries; i++) {
    if (!Agree(shm, &header)) continue;
    if (!Initialised(header)) return false;
    *position = {Salt(header[kSalt1]), Salt(header[kSalt2]), header[kMaxFrame],
                 header[kPages],       header[kChange],      0};
    return true;
  }
  return false;
}

}  // namespace backstay
