#include "vfs/wal_methods.h"

#include "vfs/shim_file.h"

namespace backstay {
namespace {

// The header that is in the file. False: none yet.
bool ReadHeader(ShimFile* shim, sqlite3_file* pFile, uint8_t* header) {
  return shim->inner->xRead(pFile, header, kWalHeaderBytes, 0) == SQLITE_OK;
}

void BeforeHeader(ShimFile* shim, sqlite3_file* pFile, const uint8_t* bytes) {
  uint8_t old[kWalHeaderBytes];
  const bool had = ReadHeader(shim, pFile, old);
  if (had && !WalWrites::SameSalts(old, bytes)) shim->database->RestartWal();
  shim->wal.SetHeader(bytes);
}

void KnowHeader(ShimFile* shim, sqlite3_file* pFile) {
  uint8_t header[kWalHeaderBytes];
  if (!shim->wal.has_header() && ReadHeader(shim, pFile, header)) shim->wal.SetHeader(header);
}

void AfterFrameHeader(ShimFile* shim, sqlite3_file* pFile, const uint8_t* bytes, int iAmt,
                      sqlite3_int64 iOfst) {
  BackstayWalPosition position;
  KnowHeader(shim, pFile);
  if (!shim->wal.CommitFrame(bytes, iAmt, iOfst, &position)) return;
  uint8_t header[kWalHeaderBytes];
  // SQLite leaves the salts out while it still has to compute checksums, and sometimes for good.
  if ((position.salt1 | position.salt2) == 0 && ReadHeader(shim, pFile, header)) {
    WalWrites::SetSalts(header, &position);
  }
  shim->database->NoteCommitFrame(position);
}

}  // namespace

int WalClose(sqlite3_file* pFile) noexcept {
  ShimFile* shim = ShimOf(pFile);
  const sqlite3_io_methods* inner = shim->inner;
  Closing closing;
  pFile->pMethods = inner;
  if (IsOurs(shim)) {
    shim->database->WalClosed();
    closing = shim->process->Detach(shim->database);
  }
  delete shim;
  const int rc = inner->xClose(pFile);
  closing.Wait();
  return rc;
}

int WalWrite(sqlite3_file* pFile, const void* zBuf, int iAmt, sqlite3_int64 iOfst) noexcept {
  ShimFile* shim = ShimOf(pFile);
  if (!IsOurs(shim)) return shim->inner->xWrite(pFile, zBuf, iAmt, iOfst);
  const auto* bytes = static_cast<const uint8_t*>(zBuf);
  if (WalWrites::IsHeader(iAmt, iOfst)) BeforeHeader(shim, pFile, bytes);
  const int rc = shim->inner->xWrite(pFile, zBuf, iAmt, iOfst);
  if (rc == SQLITE_OK && iAmt == kFrameHeaderBytes) {
    AfterFrameHeader(shim, pFile, bytes, iAmt, iOfst);
  }
  if (rc != SQLITE_OK) shim->database->ForgetCommitFrame();
  return rc;
}

int WalSync(sqlite3_file* pFile, int flags) noexcept {
  ShimFile* shim = ShimOf(pFile);
  const int rc = shim->inner->xSync(pFile, flags);
  if (rc != SQLITE_OK && IsOurs(shim)) shim->database->ForgetCommitFrame();
  return rc;
}

int WalTruncate(sqlite3_file* pFile, sqlite3_int64 size) noexcept {
  ShimFile* shim = ShimOf(pFile);
  if (!IsOurs(shim)) return shim->inner->xTruncate(pFile, size);
  KnowHeader(shim, pFile);
  // journal_size_limit cuts off what lies behind the last frame: nothing is lost then.
  const bool loses = size == 0 || size < shim->wal.SizeOf(shim->database->noted_frames());
  if (loses) shim->database->FinishWal();
  const int rc = shim->inner->xTruncate(pFile, size);
  if (rc == SQLITE_OK && size == 0) shim->database->WalGone();
  return rc;
}

}  // namespace backstay
