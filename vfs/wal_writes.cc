#include "vfs/wal_writes.h"

#include <cstring>

namespace backstay {
namespace {

constexpr int kPageSizeAt = 8;
constexpr int kSaltsAt = 16;
constexpr int kSaltsBytes = 8;

}  // namespace

bool WalWrites::SameSalts(const uint8_t* a, const uint8_t* b) noexcept {
  return std::memcmp(a + kSaltsAt, b + kSaltsAt, kSaltsBytes) == 0;
}

void WalWrites::SetSalts(const uint8_t* header, BackstayWalPosition* position) noexcept {
  position->salt1 = LoadBigEndian32(header + kSaltsAt);
  position->salt2 = LoadBigEndian32(header + kSaltsAt + 4);
}

void WalWrites::SetHeader(const uint8_t* header) noexcept {
  const uint32_t size = LoadBigEndian32(header + kPageSizeAt);
  const bool valid = size >= 512 && size <= 65536 && (size & (size - 1)) == 0;
  page_size_ = valid ? size : 0;
}

bool WalWrites::CommitFrame(const uint8_t* bytes, int n, int64_t offset,
                            BackstayWalPosition* position) const noexcept {
  if (n != kFrameHeaderBytes || page_size_ == 0 || offset < kWalHeaderBytes) return false;
  const int64_t frame_bytes = kFrameHeaderBytes + int64_t{page_size_};
  const int64_t before = offset - kWalHeaderBytes;
  if (before % frame_bytes != 0 || LoadBigEndian32(bytes + 4) == 0) return false;
  *position = {LoadBigEndian32(bytes + 8),
               LoadBigEndian32(bytes + 12),
               static_cast<uint32_t>(before / frame_bytes + 1),
               0,
               0,
               1};
  return true;
}

int64_t WalWrites::SizeOf(uint32_t frames) const noexcept {
  if (page_size_ == 0) return 0;
  return kWalHeaderBytes + int64_t{frames} * (kFrameHeaderBytes + int64_t{page_size_});
}

}  // namespace backstay
