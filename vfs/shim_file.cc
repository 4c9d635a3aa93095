#include "vfs/shim_file.h"

#include <algorithm>
#include <memory>
#include <type_traits>

#include "vfs/main_methods.h"
#include "vfs/query.h"
#include "vfs/rollback_methods.h"
#include "vfs/wal_methods.h"

namespace backstay {
namespace {

static_assert(std::is_standard_layout_v<ShimFile>, "pMethods must lead to the whole ShimFile");

constexpr int kKnownVersion = 3;  // of sqlite3_io_methods

// A table of version 1 or 2 ends where the next version's methods would start.
sqlite3_io_methods CopyMethods(const sqlite3_io_methods& inner) {
  sqlite3_io_methods copy = {};
  copy.iVersion = std::min(inner.iVersion, kKnownVersion);
  copy.xClose = inner.xClose;
  copy.xRead = inner.xRead;
  copy.xWrite = inner.xWrite;
  copy.xTruncate = inner.xTruncate;
  copy.xSync = inner.xSync;
  copy.xFileSize = inner.xFileSize;
  copy.xLock = inner.xLock;
  copy.xUnlock = inner.xUnlock;
  copy.xCheckReservedLock = inner.xCheckReservedLock;
  copy.xFileControl = inner.xFileControl;
  copy.xSectorSize = inner.xSectorSize;
  copy.xDeviceCharacteristics = inner.xDeviceCharacteristics;
  if (copy.iVersion >= 2) {
    copy.xShmMap = inner.xShmMap;
    copy.xShmLock = inner.xShmLock;
    copy.xShmBarrier = inner.xShmBarrier;
    copy.xShmUnmap = inner.xShmUnmap;
  }
  if (copy.iVersion >= 3) {
    copy.xFetch = inner.xFetch;
    copy.xUnfetch = inner.xUnfetch;
  }
  return copy;
}

std::unique_ptr<ShimFile> NewShim(Process* process, Database* database, sqlite3_file* file) {
  auto shim = std::make_unique<ShimFile>();
  shim->methods = CopyMethods(*file->pMethods);
  shim->inner = file->pMethods;
  shim->process = process;
  shim->database = database;
  return shim;
}

// A method that the real file lacks stays missing: SQLite asks for it before it uses it.
template <typename Method>
void Replace(Method* slot, std::type_identity_t<Method> method) {
  if (*slot != nullptr) *slot = method;
}

}  // namespace

bool IsShimmed(sqlite3_file* file) noexcept {
  const sqlite3_io_methods* methods = file->pMethods;
  if (methods->xClose == &MainClose || methods->xClose == &WalClose) return true;
  Query query;
  return methods->xFileControl != nullptr &&
         methods->xFileControl(file, kQueryControl, &query) == SQLITE_OK;
}

void ShimMainFile(Process* process, Database* database, sqlite3_file* file) {
  auto shim = NewShim(process, database, file);
  sqlite3_io_methods* methods = &shim->methods;
  Replace(&methods->xClose, &MainClose);
  Replace(&methods->xWrite, &MainWrite);
  Replace(&methods->xTruncate, &MainTruncate);
  Replace(&methods->xLock, &MainLock);
  Replace(&methods->xUnlock, &MainUnlock);
  Replace(&methods->xFileControl, &MainFileControl);
  Replace(&methods->xShmMap, &MainShmMap);
  Replace(&methods->xShmLock, &MainShmLock);
  Replace(&methods->xShmUnmap, &MainShmUnmap);
  __atomic_store_n(&file->pMethods, &shim.release()->methods, __ATOMIC_RELEASE);
}

void ShimWalFile(Process* process, Database* database, sqlite3_file* file) {
  auto shim = NewShim(process, database, file);
  sqlite3_io_methods* methods = &shim->methods;
  Replace(&methods->xClose, &WalClose);
  Replace(&methods->xWrite, &WalWrite);
  Replace(&methods->xSync, &WalSync);
  Replace(&methods->xTruncate, &WalTruncate);
  database->WalOpened();
  __atomic_store_n(&file->pMethods, &shim.release()->methods, __ATOMIC_RELEASE);
}

}  // namespace backstay
