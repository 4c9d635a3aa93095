// The state folder `<database>-backstay/` and its lock.
//
// A FolderLock is owned by a CaptureLoop (engine/): while it lives no other process ships this
// database. The rest is called by engine/ and by restore. Failures: kDenied or kIo (the folder
// cannot be made or written; the message names it and the remedy), kExists (another process holds
// the lock).

#ifndef BACKSTAY_UPLOADER_STATE_STATE_FOLDER_H_
#define BACKSTAY_UPLOADER_STATE_STATE_FOLDER_H_

#include <string>
#include <utility>

#include "uploader/base/file.h"
#include "uploader/base/status.h"
#include "uploader/state/positions.h"

namespace backstay {

std::string StateFolderOf(const std::string& database_path);

class FolderLock {
 public:
  // Makes `folder` (0700, owner of the database file) if need be, and takes its lock.
  static Result<FolderLock> Take(const std::string& folder, const std::string& database_path);

 private:
  explicit FolderLock(Fd fd) : fd_(std::move(fd)) {}

  Fd fd_;
};

// Makes `folder` with mode 0700 and the owner of `database_path` (when root makes it); existing is
// fine.
Status MakeStateFolder(const std::string& folder, const std::string& database_path);
// The stamp of a database file; size -1 when it cannot be had. stat(2) only: no descriptor is
// opened.
FileStamp StampOf(const std::string& database_path);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_STATE_FOLDER_H_
