// ShimFile: stands between SQLite and one file of a replicated database.
//
// The file that the real VFS opened gets a method table of ours, made for this file: a copy of its
// own table, the same version and the same holes, with a few methods replaced. The table is the
// head of a heap block, so pMethods leads to our state, the VFS's file needs no room for us, and
// every other method is the real one. xClose puts the real table back and frees the block.
//
// Methods run on the thread that uses the connection; none throws, and none changes what the real
// method returns, but for the pragmas and file controls that are ours.

#ifndef BACKSTAY_VFS_SHIM_FILE_H_
#define BACKSTAY_VFS_SHIM_FILE_H_

#include <sqlite3.h>

#include "vfs/database.h"
#include "vfs/page_writes.h"
#include "vfs/process.h"
#include "vfs/wal_writes.h"

namespace backstay {

struct ShimFile {
  sqlite3_io_methods methods;  // first: sqlite3_file::pMethods points here
  const sqlite3_io_methods* inner;
  Process* process;
  Database* database;
  MappedIndex index;  // main file
  bool looked;        // main file: its header said which journal mode it is in
  bool locked;        // main file: this connection keeps others from writing
  bool checkpointed;  // main file: its connection has begun a checkpoint
  PageWrites writes;  // main file
  WalWrites wal;      // WAL file
};

// The state behind a file that has one of our tables. REQUIRES: it has.
inline ShimFile* ShimOf(sqlite3_file* pFile) noexcept {
  return reinterpret_cast<ShimFile*>(const_cast<sqlite3_io_methods*>(pFile->pMethods));
}
// False for a file that a forked child inherited: it only passes through.
inline bool IsOurs(const ShimFile* shim) noexcept { return shim->process == Process::Current(); }

// True if one of our libraries has this file already.
bool IsShimmed(sqlite3_file* file) noexcept;

// Puts the shim in front of an open main database. Takes over one Attach() of `database`. Throws
// std::bad_alloc before anything has changed.
void ShimMainFile(Process* process, Database* database, sqlite3_file* file);
// The same for its WAL. Takes over one Use() of `database`.
void ShimWalFile(Process* process, Database* database, sqlite3_file* file);

}  // namespace backstay

#endif  // BACKSTAY_VFS_SHIM_FILE_H_
