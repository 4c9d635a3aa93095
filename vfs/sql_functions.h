// The SQL functions backstay_version(), backstay_status() and backstay_sync([timeout_ms]).
//
// Registered on every connection of one copy of SQLite. They run on the connection's thread, speak
// of its main database, and report out-of-memory as SQLite does.

#ifndef BACKSTAY_VFS_SQL_FUNCTIONS_H_
#define BACKSTAY_VFS_SQL_FUNCTIONS_H_

#include <sqlite3ext.h>

namespace backstay {

// Registers the functions on `db`. Returns an SQLite result code.
int RegisterFunctions(sqlite3* db, const sqlite3_api_routines* api) noexcept;

// The entry point to hand to sqlite3_auto_extension(): RegisterFunctions() on each new connection.
int AutoRegister(sqlite3* db, char** pzErrMsg, const sqlite3_api_routines* api) noexcept;

}  // namespace backstay

#endif  // BACKSTAY_VFS_SQL_FUNCTIONS_H_
