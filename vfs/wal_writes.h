// WalWrites: what one connection's writes to its WAL file say about the WAL's state.
//
// Needed where no wal-index can be read (EXCLUSIVE locking mode keeps it in private memory), and to
// see that a write is about to start a new generation. One per WAL file, called on the thread that
// writes; SQLite lets one connection write at a time.

#ifndef BACKSTAY_VFS_WAL_WRITES_H_
#define BACKSTAY_VFS_WAL_WRITES_H_

#include <cstdint>

#include "uploader/engine_api.h"

namespace backstay {

constexpr int kWalHeaderBytes = 32;
constexpr int kFrameHeaderBytes = 24;

inline uint32_t LoadBigEndian32(const uint8_t* p) noexcept {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | p[3];
}

class WalWrites {
 public:
  // True if the bytes are a whole WAL header.
  static bool IsHeader(int n, int64_t offset) noexcept {
    return offset == 0 && n == kWalHeaderBytes;
  }
  // True if both headers start the same generation: SQLite repeats the header with equal salts when
  // a savepoint is rolled back to the start of the WAL.
  static bool SameSalts(const uint8_t* a, const uint8_t* b) noexcept;

  // Those of a WAL header.
  static void SetSalts(const uint8_t* header, BackstayWalPosition* position) noexcept;
  // Takes the page size from a WAL header (walformat.html, 1.1).
  void SetHeader(const uint8_t* header) noexcept;
  bool has_header() const noexcept { return page_size_ != 0; }

  // If the bytes are the header of a commit frame, sets *position to the end of the WAL after it.
  // The last commit frame in time ends the transaction, whatever lies behind it in the file.
  bool CommitFrame(const uint8_t* bytes, int n, int64_t offset,
                   BackstayWalPosition* position) const noexcept;

  // Bytes of a WAL that holds `frames` frames; 0 when no header was seen.
  int64_t SizeOf(uint32_t frames) const noexcept;

 private:
  uint32_t page_size_ = 0;  // bytes
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_WAL_WRITES_H_
