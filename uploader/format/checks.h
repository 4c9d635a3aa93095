// Small checks that every reader and writer of the formats shares.
//
// Pure functions, any thread.

#ifndef BACKSTAY_UPLOADER_FORMAT_CHECKS_H_
#define BACKSTAY_UPLOADER_FORMAT_CHECKS_H_

#include <bit>
#include <cstdint>
#include <string>

#include "uploader/base/bytes.h"
#include "uploader/base/status.h"

namespace backstay {

// Highest page number of SQLite (sqlite.org/limits.html, "Maximum Number Of Pages").
inline constexpr uint32_t kMaxPageNumber = 0xfffffffe;

inline bool ValidPageSize(uint32_t bytes) {
  return bytes >= 512 && bytes <= 65536 && std::has_single_bit(bytes);
}
inline uint8_t PageSizeLog2(uint32_t bytes) {
  return static_cast<uint8_t>(std::countr_zero(bytes));
}
// Reads a log2 of 9 to 16; fails the reader otherwise and returns 512.
uint32_t ReadPageSize(ByteReader* in);
// A varint that fits in a non-negative int64: a time, or a difference of two.
int64_t ReadTime(ByteReader* in);

Status Corrupt(const std::string& what, const std::string& detail);
// kCorrupt for 0, kNewer above kFormatVersion.
Status CheckVersion(const std::string& what, uint64_t version);
// The last 8 bytes of `data` are the hash of those before.
Status CheckTrailingHash(const std::string& what, Bytes data);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_FORMAT_CHECKS_H_
