// The header of the wal-index as SQLite lays it out in the first shm region
// (sqlite.org/walformat.html, 2.1: two copies of 48 bytes, native byte order, salts as in the WAL).
//
// Owns nothing: `shm` is the pointer that xShmMap returned for region 0 and must stay mapped during
// the call. Any thread; other threads and processes may be writing.

#ifndef BACKSTAY_VFS_WAL_INDEX_H_
#define BACKSTAY_VFS_WAL_INDEX_H_

#include <cstdint>

#include "uploader/engine_api.h"

namespace backstay {

constexpr int kWalIndexRegionBytes = 32768;  // SQLite's WALINDEX_PGSZ
constexpr int kWalWriteLock = 0;             // slot of WAL_WRITE_LOCK

// A number that changes with every commit and every restart; reads five words, takes no lock. Two
// different headers can share one only while a writer is between the words.
uint64_t WalIndexFingerprint(const volatile void* shm) noexcept;

// Copies the header once both copies agree, in a bounded number of tries. False: never agreed, not
// initialised, or of another wal-index version.
bool ReadWalIndex(const volatile void* shm, BackstayWalPosition* position) noexcept;

}  // namespace backstay

#endif  // BACKSTAY_VFS_WAL_INDEX_H_
