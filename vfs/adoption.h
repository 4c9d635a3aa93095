// Adoption: the shim gets in front of the files of a connection that is open already.
//
// Called once by the extension's entry point, on the loading connection's thread, while SQLite is
// inside sqlite3_load_extension(). Other connections that were opened before stay unseen until they
// open a file; what they commit is found in the wal-index. May throw std::bad_alloc.

#ifndef BACKSTAY_VFS_ADOPTION_H_
#define BACKSTAY_VFS_ADOPTION_H_

#include <sqlite3ext.h>

#include "vfs/sqlite_copy.h"

namespace backstay {

void AdoptConnection(sqlite3* db, const sqlite3_api_routines* api, const SqliteCopy* copy);

// For each connection that is opened later: says once of each database if one passes the shim by
// that is selected and to be written.
void TellOfConnection(sqlite3* db, const sqlite3_api_routines* api) noexcept;

}  // namespace backstay

#endif  // BACKSTAY_VFS_ADOPTION_H_
