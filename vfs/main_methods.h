// The methods that the shim replaces on a main database file: its lifetime, the locks of the
// wal-index, file controls; its writes are in rollback_methods.h.
//
// Installed by shim_file.cc. The contract of every method is SQLite's
// (sqlite.org/c3ref/io_methods.html); threads and failure as in shim_file.h.

#ifndef BACKSTAY_VFS_MAIN_METHODS_H_
#define BACKSTAY_VFS_MAIN_METHODS_H_

#include <sqlite3.h>

namespace backstay {

int MainClose(sqlite3_file* pFile) noexcept;
int MainFileControl(sqlite3_file* pFile, int op, void* pArg) noexcept;
int MainShmMap(sqlite3_file* pFile, int iRegion, int szRegion, int bExtend,
               void volatile** pp) noexcept;
int MainShmLock(sqlite3_file* pFile, int ofst, int n, int flags) noexcept;
int MainShmUnmap(sqlite3_file* pFile, int deleteFlag) noexcept;

}  // namespace backstay

#endif  // BACKSTAY_VFS_MAIN_METHODS_H_
