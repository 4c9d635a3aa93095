// The state folder `<database>-backstay/` and its lock.
//
// A FolderLock is owned by a CaptureLoop (engine/): while it lives no other process ships this
// database. A forked child has a copy of its descriptor, which would keep the lock when its parent
// is gone: LockRegister, owned by Engine, closes it there. The rest is called by engine/ and by
// restore. Failures: kDenied or kIo (the folder cannot be made or written; the message names it and
// the remedy), kExists (another process holds the lock).

#ifndef BACKSTAY_UPLOADER_STATE_STATE_FOLDER_H_
#define BACKSTAY_UPLOADER_STATE_STATE_FOLDER_H_

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <utility>

#include "uploader/base/file.h"
#include "uploader/base/status.h"
#include "uploader/state/positions.h"

namespace backstay {

std::string StateFolderOf(const std::string& database_path);
// Of its i-th replica, from 0: the first one's is the state folder itself, further ones have a
// folder of their own in it.
std::string StateFolderOf(const std::string& database_path, const std::string& replica, size_t i);

// Descriptors of the locks that this process has, or tries to have. Any thread; CloseAll() only in
// a forked child, where it is all that may be done with them. Beyond its room nothing is kept, and
// a child takes over only when it is forked anew.
class LockRegister {
 public:
  void Add(Fd* fd);
  void Remove(Fd* fd);
  void CloseAll() noexcept;

 private:
  std::array<std::atomic<Fd*>, 256> fds_ = {};  // null: free
};

class FolderLock {
 public:
  // Makes `folder` (0700, owner of the database file) if need be, takes its lock, and removes what
  // killed processes have left in it. `locks` may be null and outlives the lock.
  static Result<FolderLock> Take(const std::string& folder, const std::string& database_path,
                                 LockRegister* locks);
  // Some process holds it. Looks without taking it for longer than a moment.
  static bool IsHeld(const std::string& folder);
  FolderLock(FolderLock&&) noexcept = default;
  FolderLock& operator=(FolderLock&&) = delete;
  ~FolderLock();

  // False: the application has closed its descriptor, and other processes may have it.
  bool Holds() const { return fd_->valid(); }
  // False: the folder was removed, or another one took its place. True where that cannot be told.
  bool IsIn(const std::string& folder) const;

 private:
  FolderLock(Fd fd, LockRegister* locks);

  LockRegister* locks_;
  std::unique_ptr<Fd> fd_;  // the register knows its address
};

// Which file it is: while one is open no other has its numbers. 0, 0: not known, or none.
struct FileId {
  uint64_t device = 0;
  uint64_t inode = 0;

  bool known() const { return (device | inode) != 0; }
  bool operator==(const FileId& other) const {
    return device == other.device && inode == other.inode;
  }
};
// Of the file at this path.
FileId FileIdOf(const std::string& path);

// Makes `folder` with mode 0700 and the owner of `database_path` (when root makes it); existing is
// fine.
Status MakeStateFolder(const std::string& folder, const std::string& database_path);
// The stamp of a database file; size -1 when it cannot be had. stat(2) only: no descriptor is
// opened.
FileStamp StampOf(const std::string& database_path);
// Waits, 25 ms at most, until it is settled; a file that goes on changing has one that is not.
FileStamp SettledStampOf(const std::string& database_path);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_STATE_FOLDER_H_
