#include "vfs/shim_vfs.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <type_traits>

#include "vfs/headroom.h"
#include "vfs/pinned.h"
#include "vfs/process.h"

namespace backstay {
namespace {

// ---- Deleting a WAL ---------------------------------------------------------------------------

int DeleteThrough(const InnerVfs& inner, const char* zName, int syncDir) noexcept {
  Process* process = Process::Current();
  Database* database = nullptr;
  try {
    const std::string path = zName != nullptr ? DatabaseOfWal(zName) : std::string();
    if (process != nullptr && !path.empty()) database = process->Use(path, inner.copy);
  } catch (const std::exception&) {
    // The WAL goes without us; the engine finds a gap and repairs it.
  }
  if (database != nullptr) database->FinishWal();
  const int rc = inner.xDelete(inner.vfs, zName, syncDir);
  if (database == nullptr) return rc;
  if (rc == SQLITE_OK) database->WalGone();
  process->Detach(database).Wait();
  return rc;
}

int OpenThrough(const InnerVfs& inner, const char* zName, sqlite3_file* pFile, int flags,
                int* pOutFlags) noexcept {
  int rc = inner.xOpen(inner.vfs, zName, pFile, flags, pOutFlags);
  if (MadeRoom(rc)) rc = inner.xOpen(inner.vfs, zName, pFile, flags, pOutFlags);
  if (rc == SQLITE_OK) {
    ShimOpened(inner, zName, pFile, flags, pOutFlags != nullptr ? *pOutFlags : 0);
  }
  return rc;
}

// ---- Hooked objects ---------------------------------------------------------------------------

// Entries are added under the mutex and then constant, but for an object whose module could not be
// pinned, was unloaded and is loaded again at the same address. Readers go without it, up to the
// published count.
struct Hooks {
  std::mutex mutex;
  std::atomic<size_t> count = 0;
  std::array<InnerVfs, kMaxHooks> entries;
};

static_assert(std::is_trivially_destructible_v<Hooks>);

Hooks& TheHooks() {
  static Hooks hooks;  // without a destructor: used until the process is gone
  return hooks;
}

// Another VFS may have been made as a copy of a hooked object; then its methods are the same.
InnerVfs HookOf(sqlite3_vfs* vfs) noexcept {
  Hooks& hooks = TheHooks();
  const size_t count = hooks.count.load(std::memory_order_acquire);
  const InnerVfs* similar = &hooks.entries[0];
  for (size_t i = 0; i < count; i++) {
    const InnerVfs& entry = hooks.entries[i];
    if (entry.vfs == vfs) return entry;
    if (entry.vfs->xFullPathname == vfs->xFullPathname) similar = &entry;
  }
  InnerVfs result = *similar;
  result.vfs = vfs;
  return result;
}

int HookedOpen(sqlite3_vfs* pVfs, const char* zName, sqlite3_file* pFile, int flags,
               int* pOutFlags) noexcept {
  return OpenThrough(HookOf(pVfs), zName, pFile, flags, pOutFlags);
}

int HookedDelete(sqlite3_vfs* pVfs, const char* zName, int syncDir) noexcept {
  return DeleteThrough(HookOf(pVfs), zName, syncDir);
}

// ---- The VFS `backstay` -----------------------------------------------------------------------

const InnerVfs& Inner(sqlite3_vfs* pVfs) { return *static_cast<InnerVfs*>(pVfs->pAppData); }

int VfsOpen(sqlite3_vfs* pVfs, const char* zName, sqlite3_file* pFile, int flags,
            int* pOutFlags) noexcept {
  return OpenThrough(Inner(pVfs), zName, pFile, flags, pOutFlags);
}

int VfsDelete(sqlite3_vfs* pVfs, const char* zName, int syncDir) noexcept {
  return DeleteThrough(Inner(pVfs), zName, syncDir);
}

int VfsAccess(sqlite3_vfs* pVfs, const char* zName, int flags, int* pResOut) noexcept {
  sqlite3_vfs* inner = Inner(pVfs).vfs;
  return inner->xAccess(inner, zName, flags, pResOut);
}

int VfsFullPathname(sqlite3_vfs* pVfs, const char* zName, int nOut, char* zOut) noexcept {
  sqlite3_vfs* inner = Inner(pVfs).vfs;
  return inner->xFullPathname(inner, zName, nOut, zOut);
}

void* VfsDlOpen(sqlite3_vfs* pVfs, const char* zFilename) noexcept {
  sqlite3_vfs* inner = Inner(pVfs).vfs;
  return inner->xDlOpen(inner, zFilename);
}

void VfsDlError(sqlite3_vfs* pVfs, int nByte, char* zErrMsg) noexcept {
  sqlite3_vfs* inner = Inner(pVfs).vfs;
  inner->xDlError(inner, nByte, zErrMsg);
}

void (*VfsDlSym(sqlite3_vfs* pVfs, void* pHandle, const char* zSymbol) noexcept)(void) {
  sqlite3_vfs* inner = Inner(pVfs).vfs;
  return inner->xDlSym(inner, pHandle, zSymbol);
}

void VfsDlClose(sqlite3_vfs* pVfs, void* pHandle) noexcept {
  sqlite3_vfs* inner = Inner(pVfs).vfs;
  inner->xDlClose(inner, pHandle);
}

int VfsRandomness(sqlite3_vfs* pVfs, int nByte, char* zOut) noexcept {
  sqlite3_vfs* inner = Inner(pVfs).vfs;
  return inner->xRandomness(inner, nByte, zOut);
}

int VfsSleep(sqlite3_vfs* pVfs, int microseconds) noexcept {
  sqlite3_vfs* inner = Inner(pVfs).vfs;
  return inner->xSleep(inner, microseconds);
}

int VfsCurrentTime(sqlite3_vfs* pVfs, double* pTime) noexcept {
  sqlite3_vfs* inner = Inner(pVfs).vfs;
  return inner->xCurrentTime(inner, pTime);
}

int VfsGetLastError(sqlite3_vfs* pVfs, int nByte, char* zErrMsg) noexcept {
  sqlite3_vfs* inner = Inner(pVfs).vfs;
  return inner->xGetLastError(inner, nByte, zErrMsg);
}

int VfsCurrentTimeInt64(sqlite3_vfs* pVfs, sqlite3_int64* pTime) noexcept {
  sqlite3_vfs* inner = Inner(pVfs).vfs;
  return inner->xCurrentTimeInt64(inner, pTime);
}

int VfsSetSystemCall(sqlite3_vfs* pVfs, const char* zName, sqlite3_syscall_ptr pCall) noexcept {
  sqlite3_vfs* inner = Inner(pVfs).vfs;
  return inner->xSetSystemCall(inner, zName, pCall);
}

sqlite3_syscall_ptr VfsGetSystemCall(sqlite3_vfs* pVfs, const char* zName) noexcept {
  sqlite3_vfs* inner = Inner(pVfs).vfs;
  return inner->xGetSystemCall(inner, zName);
}

const char* VfsNextSystemCall(sqlite3_vfs* pVfs, const char* zName) noexcept {
  sqlite3_vfs* inner = Inner(pVfs).vfs;
  return inner->xNextSystemCall(inner, zName);
}

// `method` if the inner VFS has its counterpart.
template <typename Method>
Method If(Method inner, std::type_identity_t<Method> method) {
  return inner != nullptr ? method : nullptr;
}

void SetVersionOneMethods(sqlite3_vfs* vfs, const sqlite3_vfs* inner) {
  vfs->xOpen = &VfsOpen;
  vfs->xDelete = If(inner->xDelete, &VfsDelete);
  vfs->xAccess = If(inner->xAccess, &VfsAccess);
  vfs->xFullPathname = If(inner->xFullPathname, &VfsFullPathname);
  vfs->xDlOpen = If(inner->xDlOpen, &VfsDlOpen);
  vfs->xDlError = If(inner->xDlError, &VfsDlError);
  vfs->xDlSym = If(inner->xDlSym, &VfsDlSym);
  vfs->xDlClose = If(inner->xDlClose, &VfsDlClose);
  vfs->xRandomness = If(inner->xRandomness, &VfsRandomness);
  vfs->xSleep = If(inner->xSleep, &VfsSleep);
  vfs->xCurrentTime = If(inner->xCurrentTime, &VfsCurrentTime);
  vfs->xGetLastError = If(inner->xGetLastError, &VfsGetLastError);
}

}  // namespace

bool IsHooked(const sqlite3_vfs* vfs) noexcept { return vfs->xOpen == &HookedOpen; }

bool IsOurs(const sqlite3_vfs* vfs) noexcept { return IsHooked(vfs) || vfs->xOpen == &VfsOpen; }

InnerVfs Unhooked(sqlite3_vfs* vfs, const SqliteCopy* copy) noexcept {
  if (IsHooked(vfs)) return HookOf(vfs);
  return {vfs, vfs->xOpen, vfs->xDelete, copy};
}

void TellOfTooManyVfses() noexcept {
  Process* process = Process::Current();
  if (process == nullptr) return;
  process->Say(Repeat::kWhileItLasts, BACKSTAY_WARN, {},
               "this process holds too many copies of SQLite: what those beyond the first 64 open "
               "is not replicated");
}

void HookVfs(sqlite3_vfs* vfs, const SqliteCopy* copy) {
  Hooks& hooks = TheHooks();
  std::lock_guard lock(hooks.mutex);
  if (IsOurs(vfs)) return;
  const size_t count = hooks.count.load();
  size_t slot = 0;
  while (slot < count && hooks.entries[slot].vfs != vfs) slot++;
  if (slot == kMaxHooks) return TellOfTooManyVfses();
  PinVfs(vfs);
  hooks.entries[slot] = {vfs, vfs->xOpen, vfs->xDelete, copy};
  if (slot == count) hooks.count.store(count + 1, std::memory_order_release);
  auto* open = &HookedOpen;
  auto* remove = &HookedDelete;
  __atomic_store_n(&vfs->xOpen, open, __ATOMIC_RELEASE);
  __atomic_store_n(&vfs->xDelete, remove, __ATOMIC_RELEASE);
}

sqlite3_vfs* MakeVfs(sqlite3_vfs* inner, const SqliteCopy* copy) {
  auto state = std::make_unique<InnerVfs>(Unhooked(inner, copy));
  PinVfs(inner);
  auto vfs = std::make_unique<sqlite3_vfs>();
  vfs->iVersion = std::min(inner->iVersion, 3);
  vfs->szOsFile = inner->szOsFile;
  vfs->mxPathname = inner->mxPathname;
  vfs->zName = kVfsName;
  vfs->pAppData = state.release();
  SetVersionOneMethods(vfs.get(), inner);
  if (vfs->iVersion >= 2) {
    vfs->xCurrentTimeInt64 = If(inner->xCurrentTimeInt64, &VfsCurrentTimeInt64);
  }
  if (vfs->iVersion >= 3) {
    vfs->xSetSystemCall = If(inner->xSetSystemCall, &VfsSetSystemCall);
    vfs->xGetSystemCall = If(inner->xGetSystemCall, &VfsGetSystemCall);
    vfs->xNextSystemCall = If(inner->xNextSystemCall, &VfsNextSystemCall);
  }
  return vfs.release();
}

}  // namespace backstay
