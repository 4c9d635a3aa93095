/*
** backstay.so: replicates SQLite databases to S3 from inside the process that writes them.
**
** BUILD
**
**     cmake -B build && cmake --build build
**
** makes build/backstay.so and, to stay in the same folder, build/libbackstay_engine.so.
**
** LOAD
**
** Into the connection that is to be replicated, before or after it has read or written anything:
**
**     .load ./backstay                                       (sqlite3 shell)
**     SELECT load_extension('./backstay');                   (SQL)
**     sqlite3_load_extension(db, "./backstay", 0, &zErr);    (C)
**
** This registers the VFS "backstay" over the default VFS and makes it the default, adopts the
** databases of the loading connection, main and attached, and stays in the process for good.
** Loading it again is harmless.
**
** USE
**
** Say where to: BACKSTAY_REPLICA_URL=s3://bucket/prefix in the environment (with BACKSTAY_DB, a
** path or glob, to choose databases), a JSON file in BACKSTAY_CONFIG or /etc/backstay.json, or the
** URI file:app.db?replica=<percent-encoded URL>. The environment is read when the library is
** loaded.
** Every journal mode is replicated.
**
** VERIFY
**
**     SELECT backstay_version();
**     SELECT backstay_status();     JSON of the main database; "state":"off" when not replicated
**     PRAGMA aux.backstay_status;   the same of an attached database
**
** CONTROL
**
**     SELECT backstay_sync(5000);   1 once all that was committed before is in the bucket, or 0
**                                   after that many milliseconds; without an argument the
**                                   configured time
**     PRAGMA aux.backstay_sync(5000);
**
** LIMITS
**
** SQLite 3.20 or newer. Databases opened with mode=ro, immutable=1 or nolock=1, in memory, or with
** another VFS than the default one, are left alone; where that may surprise, a warning says so.
** Other connections that were open before the load are seen through the wal-index, or
** the file change counter, only: load before the first open where you can. With journal_mode=OFF a
** crash of the application can lose the local database; one warning says so. An upload that fails
** never fails a statement; the log and backstay_status() report it.
*/
#include <sqlite3ext.h>

#include <exception>
#include <map>
#include <mutex>

#include "vfs/adoption.h"
#include "vfs/pinned.h"
#include "vfs/process.h"
#include "vfs/shim_vfs.h"
#include "vfs/sql_functions.h"

namespace backstay {
namespace {

constexpr int kOldestVersion = 3020000;

using Api = const sqlite3_api_routines*;
using Entry = void (*)(void);

struct Known {
  const SqliteCopy* copy = nullptr;
  bool automatic = false;  // new connections get our functions by themselves
};

struct Copies {
  std::mutex mutex;
  std::map<Api, Known> known;  // guarded by mutex
};

const SqliteCopy* NewCopy(Api sqlite3_api) {
  auto copy = std::make_unique<SqliteCopy>();
  copy->version = sqlite3_libversion_number();
  copy->alloc = sqlite3_api->malloc;
  copy->free = sqlite3_api->free;
  PinModule(reinterpret_cast<const void*>(copy->free));
  // A build without mutexes has no such function. The static ones need no memory.
  copy->threadsafe = sqlite3_api->mutex_alloc != nullptr &&
                     sqlite3_mutex_alloc(SQLITE_MUTEX_STATIC_MASTER) != nullptr;
  return copy.release();
}

// Registers the VFS with a copy of SQLite that has not met the extension yet.
int RegisterVfs(Api sqlite3_api, const SqliteCopy** copy) {
  static auto* copies = new Copies;
  std::lock_guard lock(copies->mutex);
  Known& known = copies->known[sqlite3_api];
  if (known.copy == nullptr) known.copy = NewCopy(sqlite3_api);
  *copy = known.copy;
  sqlite3_vfs* own = sqlite3_vfs_find(kVfsName);
  if (own == nullptr) {
    sqlite3_vfs* inner = sqlite3_vfs_find(nullptr);
    if (inner == nullptr) return SQLITE_ERROR;
    own = MakeVfs(inner, *copy);
  }
  int rc = sqlite3_vfs_register(own, 1);
  if (rc != SQLITE_OK || known.automatic) return rc;
  rc = sqlite3_auto_extension(reinterpret_cast<Entry>(&AutoRegister));
  known.automatic = rc == SQLITE_OK;
  return rc;
}

int Init(sqlite3* db, char** pzErrMsg, Api sqlite3_api) {
  if (sqlite3_libversion_number() < kOldestVersion) {
    *pzErrMsg = sqlite3_mprintf("backstay needs SQLite 3.20 or newer; this one is %s",
                                sqlite3_libversion());
    return SQLITE_ERROR;
  }
  Process::Start(SelectionFromEnvironment(/*preloaded=*/false), OwnFolder());
  const SqliteCopy* copy = nullptr;
  int rc = RegisterVfs(sqlite3_api, &copy);
  if (rc == SQLITE_OK) rc = RegisterFunctions(db, sqlite3_api);
  if (rc != SQLITE_OK) return rc;
  AdoptConnection(db, sqlite3_api, copy);
  return SQLITE_OK_LOAD_PERMANENTLY;
}

}  // namespace
}  // namespace backstay

extern "C" __attribute__((visibility("default"))) int sqlite3_backstay_init(
    sqlite3* db, char** pzErrMsg, const sqlite3_api_routines* pApi) {
  try {
    return backstay::Init(db, pzErrMsg, pApi);
  } catch (const std::exception&) {
    return SQLITE_NOMEM;
  }
}
