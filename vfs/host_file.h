// HostFile: the main database, opened a second time through the host's own VFS, for reading.
//
// The unix VFS keeps one record per inode and defers closes while locks are held, so this handle
// can be closed without dropping the POSIX locks of its copy of SQLite; a descriptor of our own
// could not (sqlite.org/howtocorrupt.html, 2.2). HostFiles owns it, and looks after the other
// copies. Open() runs on an application thread; Read() and Size() on the engine's threads, one at a
// time; errors are -1.
//
// The application may close the descriptor underneath, not knowing it, and get the number for a
// file of its own. Where the VFS shows which number that is (xSetSystemCall), it is proven before
// each use, and a handle that lost it is given up without being closed.

#ifndef BACKSTAY_VFS_HOST_FILE_H_
#define BACKSTAY_VFS_HOST_FILE_H_

#include <sqlite3.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "vfs/sqlite_copy.h"

namespace backstay {

// The VFS that really opens a file, and the xOpen it had before it was hooked.
struct InnerVfs {
  sqlite3_vfs* vfs = nullptr;
  int (*xOpen)(sqlite3_vfs*, const char*, sqlite3_file*, int, int*) = nullptr;
  int (*xDelete)(sqlite3_vfs*, const char*, int) = nullptr;
  const SqliteCopy* copy = nullptr;
};

// The path that a main database was opened by names another file, or none, by now. False where the
// VFS cannot tell.
bool HasMoved(sqlite3_file* file, const sqlite3_io_methods* methods) noexcept;

class HostFile {
 public:
  // NULL when the VFS refuses.
  static std::unique_ptr<HostFile> Open(const InnerVfs& inner, const std::string& path);
  ~HostFile();
  HostFile(const HostFile&) = delete;
  HostFile& operator=(const HostFile&) = delete;

  // Bytes read (fewer only at the end of the file), or -1.
  int64_t Read(void* buffer, int64_t n, int64_t offset) noexcept;
  // Bytes, -1, or BACKSTAY_LOST.
  int64_t Size() noexcept;
  // False, for good: the descriptor is not ours any more, and everything fails.
  bool Holds() const noexcept;
  // Whose VFS closes it.
  const SqliteCopy* copy() const noexcept { return inner_.copy; }
  // The path still names the file that this handle reads, as far as the VFS can tell.
  bool InPlace() noexcept;

 private:
  HostFile(const InnerVfs& inner, const std::string& path);
  int64_t SizeLocked() noexcept;
  int ReadLocked(char* out, int64_t n, int64_t offset) noexcept;  // an SQLite result code

  const InnerVfs inner_;
  std::unique_ptr<char[]> name_;      // zeros, the path, zeros; the VFS keeps a pointer into it
  std::unique_ptr<uint64_t[]> room_;  // szOsFile bytes
  sqlite3_file* file_;                // in room_
  std::mutex mutex_;                  // serialises calls to file_
  int fd_ = -1;                       // of file_; -1: not known
  struct stat id_ {};                 // what it was when it was opened
  mutable std::atomic<bool> lost_ = false;  // Holds() was false once
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_HOST_FILE_H_
