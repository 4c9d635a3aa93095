// HostFiles: the HostFile of each main database, and which copies of SQLite have the file open.
//
// POSIX locks belong to a process and a file: closing any descriptor of the file drops those that
// another copy of SQLite in this process holds (sqlite.org/howtocorrupt.html, 2.2.1). A copy looks
// after its own handles only. So a file has one handle of ours, whichever copies use it in turn,
// and that is closed only while no other copy that the shim knows has the file open, and while this
// process holds no lock on it, for the others. What may not be closed waits here, to be used again
// or closed later.
//
// One per Process. Take() on application threads, the rest on any; calls come in turn. Out of
// memory: std::bad_alloc, before anything has changed.

#ifndef BACKSTAY_VFS_HOST_FILES_H_
#define BACKSTAY_VFS_HOST_FILES_H_

#include <sys/types.h>

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "vfs/host_file.h"

namespace backstay {

using FileId = std::pair<dev_t, ino_t>;

class HostFiles {
 public:
  // From here to Closed() connections of that copy may lock the file.
  void Opened(const FileId& id, const SqliteCopy* copy);
  void Closed(const FileId& id, const SqliteCopy* copy) noexcept;

  // A handle of the file that has this id and path, to be given back. NULL: *moved says whether the
  // path names another file by now, else the VFS refuses.
  HostFile* Take(const InnerVfs& inner, const std::string& path, const FileId& id, bool* moved);
  void Give(HostFile* file) noexcept;
  // The process ends, which closes everything: nothing is closed before.
  void Leave() noexcept { leaving_ = true; }

 private:
  struct Handle {
    std::unique_ptr<HostFile> file;
    int users = 0;
  };

  void SweepLocked() noexcept;
  bool MayClose(const FileId& id, const HostFile& file) const noexcept;

  std::atomic<bool> leaving_ = false;
  std::mutex mutex_;
  std::map<FileId, Handle> handles_;                             // guarded by mutex_
  std::vector<Handle> lost_;                                     // guarded by mutex_; in use still
  std::map<std::pair<FileId, const SqliteCopy*>, int> openers_;  // guarded by mutex_
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_HOST_FILES_H_
