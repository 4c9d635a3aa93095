// DatabaseLock: proof that no other process has a SQLite database open, kept while it lives.
//
// Only for a process that has the database open in no other way: closing the descriptors would
// drop SQLite's own locks (sqlite.org/howtocorrupt.html, 2.2). Takes SQLite's lock bytes of the
// file and of its -shm exclusively (sqlite.org/fileformat2.html, 1.6; walformat.html, 2.3.1): in
// WAL mode every open connection holds one of them. A connection in rollback mode holds none
// between transactions: it is found by its descriptor in /proc, as far as this user may look.
// kExists: it is open, and the message names the process. kDenied, kIo: cannot be told.

#ifndef BACKSTAY_TOOLS_DATABASE_LOCK_H_
#define BACKSTAY_TOOLS_DATABASE_LOCK_H_

#include <string>
#include <utility>

#include "uploader/base/file.h"
#include "uploader/base/status.h"

namespace backstay {

class DatabaseLock {
 public:
  // A database that does not exist is not open.
  static Result<DatabaseLock> Take(const std::string& path);

 private:
  DatabaseLock(Fd database, Fd shm) : database_(std::move(database)), shm_(std::move(shm)) {}

  Fd database_;
  Fd shm_;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_DATABASE_LOCK_H_
