#include "vfs/rollback_methods.h"

#include <exception>

namespace backstay {
namespace {

InnerFile InnerOf(const ShimFile* shim, sqlite3_file* pFile) { return {pFile, shim->inner}; }

// A connection in WAL mode has its WAL open, or its wal-index mapped.
bool InRollbackMode(const ShimFile* shim) {
  return shim->index.shm == nullptr && !shim->database->wal_open();
}

void Write(ShimFile* shim, sqlite3_file* pFile, int iAmt, sqlite3_int64 iOfst) {
  BeginWrites(shim, pFile);
  if (!shim->writes.open()) return;
  try {
    shim->writes.Write(InnerOf(shim, pFile), iAmt, iOfst);
  } catch (const std::exception&) {
    shim->writes.Lose();
  }
}

}  // namespace

void KeepFromWriting(ShimFile* shim) noexcept {
  if (shim->locked) return;
  shim->locked = true;
  shim->database->WriteLocked();
}

// Before the lock is given back: behind it the next one may have it.
void LetWrite(ShimFile* shim) noexcept {
  if (shim->locked) shim->database->WriteUnlocked();
  shim->locked = false;
}

void BeginWrites(ShimFile* shim, sqlite3_file* pFile) noexcept {
  if (shim->writes.open() || !InRollbackMode(shim)) return;
  shim->writes.Begin(InnerOf(shim, pFile));
  // Whoever comes to replicate it in the middle is told nothing of it.
  if (!shim->database->Writing()) shim->writes.Lose();
}

bool EndWrites(ShimFile* shim, sqlite3_file* pFile, bool committed) noexcept {
  if (!shim->writes.open()) return false;
  PageWrites::Pages pages;
  try {
    pages = shim->writes.Collect(InnerOf(shim, pFile));
  } catch (const std::exception&) {
    pages.complete = false;
  }
  shim->database->Written(pages, committed);
  shim->writes.Clear();
  return true;
}

void LookAtMode(ShimFile* shim, sqlite3_file* pFile) noexcept {
  if (shim->looked || shim->database->replicated() || !InRollbackMode(shim)) return;
  const DatabaseHeader header = ReadHeader(InnerOf(shim, pFile));
  if (!header.there) return;
  shim->looked = true;
  // In WAL mode the opening of the WAL asks.
  if (header.wal) return;
  header.valid ? shim->database->EnsureEngine() : shim->database->WarnUnreadable();
}

int MainWrite(sqlite3_file* pFile, const void* zBuf, int iAmt, sqlite3_int64 iOfst) noexcept {
  ShimFile* shim = ShimOf(pFile);
  if (IsOurs(shim)) Write(shim, pFile, iAmt, iOfst);
  return shim->inner->xWrite(pFile, zBuf, iAmt, iOfst);
}

int MainTruncate(sqlite3_file* pFile, sqlite3_int64 size) noexcept {
  ShimFile* shim = ShimOf(pFile);
  if (IsOurs(shim)) {
    BeginWrites(shim, pFile);
    if (shim->writes.open()) shim->writes.Truncate(size);
  }
  return shim->inner->xTruncate(pFile, size);
}

int MainLock(sqlite3_file* pFile, int eLock) noexcept {
  ShimFile* shim = ShimOf(pFile);
  const int rc = shim->inner->xLock(pFile, eLock);
  // Before the first read, and before a hot journal is played back.
  if (rc == SQLITE_OK && eLock == SQLITE_LOCK_SHARED && IsOurs(shim)) LookAtMode(shim, pFile);
  if (rc == SQLITE_OK && eLock >= SQLITE_LOCK_RESERVED && IsOurs(shim)) KeepFromWriting(shim);
  return rc;
}

int MainUnlock(sqlite3_file* pFile, int eLock) noexcept {
  ShimFile* shim = ShimOf(pFile);
  // Without a commit before: rolled back.
  if (eLock < SQLITE_LOCK_RESERVED && IsOurs(shim)) {
    EndWrites(shim, pFile, /*committed=*/false);
    LetWrite(shim);
  }
  return shim->inner->xUnlock(pFile, eLock);
}

}  // namespace backstay
