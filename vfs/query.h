// Query: how SQL functions reach the shim that has a database, through a private file control.
//
// sqlite3_file_control() brings it to the main file, whichever VFS stands on top, and whichever of
// our libraries (extension, preload) wrapped the file. Other VFSes answer SQLITE_NOTFOUND. Runs on
// the calling thread.

#ifndef BACKSTAY_VFS_QUERY_H_
#define BACKSTAY_VFS_QUERY_H_

namespace backstay {

constexpr int kQueryControl = 0x62737461;  // "bsta"; above all numbers that SQLite uses
constexpr int kQueryVersion = 2;

enum class QueryKind : int { kPresent, kStatus, kSync };

struct Query {
  int version = kQueryVersion;
  QueryKind kind = QueryKind::kPresent;
  int timeout_ms = -1;   // kSync; negative: the configured timeout
  int done = 0;          // kSync: 1 when all is in the bucket
  char* text = nullptr;  // kStatus: JSON, to be freed with free_text; NULL when out of memory
  void (*free_text)(char*) = nullptr;  // of the library that answers: it may have another malloc
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_QUERY_H_
