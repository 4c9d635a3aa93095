// The methods that the shim replaces on a WAL file: writes and truncation, because both can destroy
// frames that the engine has not read yet.
//
// Installed by shim_file.cc; contract, threads and failure as in main_methods.h.

#ifndef BACKSTAY_VFS_WAL_METHODS_H_
#define BACKSTAY_VFS_WAL_METHODS_H_

#include <sqlite3.h>

namespace backstay {

int WalClose(sqlite3_file* pFile) noexcept;
int WalWrite(sqlite3_file* pFile, const void* zBuf, int iAmt, sqlite3_int64 iOfst) noexcept;
int WalSync(sqlite3_file* pFile, int flags) noexcept;
int WalTruncate(sqlite3_file* pFile, sqlite3_int64 size) noexcept;

}  // namespace backstay

#endif  // BACKSTAY_VFS_WAL_METHODS_H_
