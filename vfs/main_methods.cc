#include "vfs/main_methods.h"

#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "vfs/headroom.h"
#include "vfs/query.h"
#include "vfs/rollback_methods.h"
#include "vfs/shim_file.h"
#include "vfs/wal_index.h"

namespace backstay {
namespace {

void SetShm(ShimFile* shim, const volatile void* shm) {
  if (shim->index.shm == shm) return;
  if (shim->index.shm != nullptr) shim->database->RemoveIndex(&shim->index);
  shim->index.shm = shm;
  if (shm != nullptr) shim->database->AddIndex(&shim->index);
}

// A connection that was adopted with its WAL open has mapped the wal-index before the shim came.
void FindShm(ShimFile* shim, sqlite3_file* pFile) {
  void volatile* shm = nullptr;
  const int rc = shim->inner->xShmMap(pFile, 0, kWalIndexRegionBytes, 0, &shm);
  if (rc == SQLITE_OK && shm != nullptr) SetShm(shim, shm);
}

// In a rollback-journal mode the journal is gone, and the lock still held. The first commit of a
// database comes before it is replicated; opening finds it in the file, and it waits like any
// other.
void CommitPhaseTwo(ShimFile* shim, sqlite3_file* pFile) {
  Database* database = shim->database;
  // In EXCLUSIVE locking mode the lock stays, though there is nothing to be ended.
  LetWrite(shim);
  const bool in_wal = shim->index.shm != nullptr || database->wal_open();
  // First: what follows may change the handle.
  const bool wrote = EndWrites(shim, pFile, /*committed=*/true);
  database->CheckEngine();
  const bool replicated = database->replicated();
  // The WAL may have been opened without memory to ask.
  if (!replicated) in_wal ? database->EnsureEngine() : database->RetryEngine();
  if (in_wal && !wrote) return database->CommitDone(shim->index.shm);
  LookAtMode(shim, pFile);
  if (wrote || !replicated) database->WaitForBucket();
}

int AnswerQuery(ShimFile* shim, Query* query) {
  if (query->version != kQueryVersion) return SQLITE_NOTFOUND;
  if (query->kind == QueryKind::kStatus) {
    const std::string status = shim->database->Status();
    auto text = std::make_unique<char[]>(status.size() + 1);
    std::memcpy(text.get(), status.c_str(), status.size() + 1);
    query->text = text.release();
    query->free_text = [](char* p) { delete[] p; };
  } else if (query->kind == QueryKind::kSync) {
    query->done = shim->database->Sync(query->timeout_ms) ? 1 : 0;
  }
  return SQLITE_OK;
}

// azArg: 0 the answer, 1 the pragma's name, 2 its argument or NULL.
int AnswerPragma(ShimFile* shim, sqlite3_file* pFile, char** azArg) {
  std::string answer;
  if (azArg[1] == nullptr) return shim->inner->xFileControl(pFile, SQLITE_FCNTL_PRAGMA, azArg);
  if (strcasecmp(azArg[1], "backstay_status") == 0) {
    answer = shim->database->Status();
  } else if (strcasecmp(azArg[1], "backstay_sync") == 0) {
    const int timeout_ms = azArg[2] != nullptr ? std::atoi(azArg[2]) : -1;
    answer.push_back(shim->database->Sync(timeout_ms) ? '1' : '0');
  } else {
    if (strcasecmp(azArg[1], "journal_mode") == 0 && azArg[2] != nullptr) {
      shim->database->JournalMode(azArg[2]);
    }
    return shim->inner->xFileControl(pFile, SQLITE_FCNTL_PRAGMA, azArg);
  }
  azArg[0] = shim->database->copy()->Text(answer);
  // Without memory of this SQLite copy there is no row; the status file has the same text.
  return SQLITE_OK;
}

int AnswerVfsName(ShimFile* shim, sqlite3_file* pFile, char** pzName) {
  const int rc = shim->inner->xFileControl(pFile, SQLITE_FCNTL_VFSNAME, pzName);
  const SqliteCopy* copy = shim->database->copy();
  if (rc != SQLITE_OK || *pzName == nullptr) return rc;
  char* name = copy->Text(std::string("backstay/") + *pzName);
  if (name == nullptr) return rc;
  copy->free(*pzName);
  *pzName = name;
  return rc;
}

int FileControl(ShimFile* shim, sqlite3_file* pFile, int op, void* pArg) {
  switch (op) {
    case kQueryControl: return AnswerQuery(shim, static_cast<Query*>(pArg));
    case SQLITE_FCNTL_PRAGMA: return AnswerPragma(shim, pFile, static_cast<char**>(pArg));
    case SQLITE_FCNTL_VFSNAME: return AnswerVfsName(shim, pFile, static_cast<char**>(pArg));
    case SQLITE_FCNTL_CKPT_START:
      // What others have committed is about to leave the WAL, too.
      if (shim->index.shm != nullptr) shim->database->NoteIndex(shim->index.shm);
      if (!std::exchange(shim->checkpointed, true)) shim->database->AddCheckpointer();
      shim->database->BeforeCheckpoint();
      return shim->inner->xFileControl(pFile, op, pArg);
    case SQLITE_FCNTL_COMMIT_PHASETWO: {
      const int rc = shim->inner->xFileControl(pFile, op, pArg);
      CommitPhaseTwo(shim, pFile);
      return rc;
    }
    case SQLITE_FCNTL_SIZE_HINT:
      // May make the file longer.
      BeginWrites(shim, pFile);
      return shim->inner->xFileControl(pFile, op, pArg);
    default: return shim->inner->xFileControl(pFile, op, pArg);
  }
}

}  // namespace

int MainClose(sqlite3_file* pFile) noexcept {
  ShimFile* shim = ShimOf(pFile);
  const sqlite3_io_methods* inner = shim->inner;
  Closing closing;
  if (IsOurs(shim)) EndWrites(shim, pFile, /*committed=*/false);
  pFile->pMethods = inner;
  if (IsOurs(shim)) {
    SetShm(shim, nullptr);
    if (shim->checkpointed) shim->database->RemoveCheckpointer();
    LetWrite(shim);
    closing = shim->process->Detach(shim->database);
  }
  delete shim;
  const int rc = inner->xClose(pFile);
  closing.Wait();
  return rc;
}

int MainFileControl(sqlite3_file* pFile, int op, void* pArg) noexcept {
  ShimFile* shim = ShimOf(pFile);
  if (!IsOurs(shim)) return shim->inner->xFileControl(pFile, op, pArg);
  try {
    return FileControl(shim, pFile, op, pArg);
  } catch (const std::exception&) {
    // Only answers of ours allocate.
    return SQLITE_NOMEM;
  }
}

int MainShmMap(sqlite3_file* pFile, int iRegion, int szRegion, int bExtend,
               void volatile** pp) noexcept {
  ShimFile* shim = ShimOf(pFile);
  int rc = shim->inner->xShmMap(pFile, iRegion, szRegion, bExtend, pp);
  if (MadeRoom(rc)) rc = shim->inner->xShmMap(pFile, iRegion, szRegion, bExtend, pp);
  const bool mapped = rc == SQLITE_OK && iRegion == 0 && *pp != nullptr;
  if (mapped && IsOurs(shim)) SetShm(shim, *pp);
  return rc;
}

int MainShmLock(sqlite3_file* pFile, int ofst, int n, int flags) noexcept {
  ShimFile* shim = ShimOf(pFile);
  if (!IsOurs(shim)) return shim->inner->xShmLock(pFile, ofst, n, flags);
  if (shim->index.shm == nullptr) FindShm(shim, pFile);
  // The end of a transaction: all frames are written and the wal-index names the last one. Until
  // the lock is gone nobody can add to it.
  const bool writes = ofst <= kWalWriteLock && kWalWriteLock < ofst + n;
  const bool writer_leaves = writes && flags == (SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
  if (writer_leaves && shim->index.shm != nullptr) shim->database->NoteIndex(shim->index.shm);
  if (writer_leaves) LetWrite(shim);
  const int rc = shim->inner->xShmLock(pFile, ofst, n, flags);
  // What others committed, in this process past the shim or in another one.
  const bool acquired = rc == SQLITE_OK && (flags & SQLITE_SHM_LOCK) != 0;
  if (acquired && (flags & SQLITE_SHM_EXCLUSIVE) != 0 && writes) KeepFromWriting(shim);
  if (acquired && shim->index.shm != nullptr) shim->database->NoteIndex(shim->index.shm);
  return rc;
}

int MainShmUnmap(sqlite3_file* pFile, int deleteFlag) noexcept {
  ShimFile* shim = ShimOf(pFile);
  if (IsOurs(shim)) {
    // The last close deletes the WAL behind this.
    if (shim->index.shm != nullptr) shim->database->NoteIndex(shim->index.shm);
    SetShm(shim, nullptr);
  }
  return shim->inner->xShmUnmap(pFile, deleteFlag);
}

}  // namespace backstay
