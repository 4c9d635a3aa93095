// The methods that the shim replaces on a main database file for the rollback-journal modes: what
// is written between two ends of a transaction.
//
// Installed by shim_file.cc; contract, threads and failure as in main_methods.h. In WAL mode, where
// only checkpoints write to this file, they pass everything on.

#ifndef BACKSTAY_VFS_ROLLBACK_METHODS_H_
#define BACKSTAY_VFS_ROLLBACK_METHODS_H_

#include <sqlite3.h>

#include "vfs/shim_file.h"

namespace backstay {

// From here on this connection keeps others from writing, or no longer.
void KeepFromWriting(ShimFile* shim) noexcept;
void LetWrite(ShimFile* shim) noexcept;

int MainWrite(sqlite3_file* pFile, const void* zBuf, int iAmt, sqlite3_int64 iOfst) noexcept;
int MainTruncate(sqlite3_file* pFile, sqlite3_int64 size) noexcept;
int MainLock(sqlite3_file* pFile, int eLock) noexcept;
int MainUnlock(sqlite3_file* pFile, int eLock) noexcept;

// The file is about to change, by a write or otherwise.
void BeginWrites(ShimFile* shim, sqlite3_file* pFile) noexcept;
// The transaction ended, if one was open; its lock is still held. False: none was.
bool EndWrites(ShimFile* shim, sqlite3_file* pFile, bool committed) noexcept;
// Asks for replication if the database is there and not in WAL mode.
void LookAtMode(ShimFile* shim, sqlite3_file* pFile) noexcept;

}  // namespace backstay

#endif  // BACKSTAY_VFS_ROLLBACK_METHODS_H_
