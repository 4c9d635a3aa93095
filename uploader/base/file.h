// Local files: an owning descriptor and the few whole-file operations the project needs.
//
// Any thread; an Fd belongs to one owner. Errors are Status with the path and strerror in them.
// An application may close descriptors that it did not open (closerange) and get their numbers for
// files of its own: an Fd proves with every use that it still is what it was, and gives the number
// up otherwise, without closing it.
// Never use these on a SQLite main database or its -shm inside the host's process: closing any
// descriptor on that inode drops SQLite's POSIX locks (sqlite.org/howtocorrupt.html, 2.2).

#ifndef BACKSTAY_UPLOADER_BASE_FILE_H_
#define BACKSTAY_UPLOADER_BASE_FILE_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "uploader/base/bytes.h"
#include "uploader/base/status.h"

namespace backstay {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) noexcept : fd_(fd), id_(IdOf(fd)) {}
  Fd(Fd&& other) noexcept : fd_(other.fd_.exchange(-1)), id_(other.id_) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd() { Close(); }

  bool valid() const { return get() >= 0; }
  // For the system call that follows, not to be kept; -1: there is none, or the number is not ours
  // any more.
  int get() const;
  void Close();
  // Where the number is not ours any more, though nobody else has taken it: it was closed with our
  // knowledge. True: forgotten, and not counted in lost().
  bool ForgetIfGone() noexcept;

  // So many of this process have been given up. What other libraries opened before the last of them
  // may be gone as well.
  static uint64_t lost() { return lost_; }

 private:
  // Device and inode; also of pipes and sockets, but anonymous inodes (eventfd, inotify) have one.
  // Zeros: not known.
  struct Id {
    dev_t device = 0;
    ino_t inode = 0;
    bool operator==(const Id& other) const = default;
  };
  static Id IdOf(int fd) noexcept;
  bool IsOurs(int fd) const noexcept;

  static std::atomic<uint64_t> lost_;
  mutable std::atomic<int> fd_{-1};
  Id id_{};
};

// open(2) with O_CLOEXEC added; waits for nobody: a pipe may lie in the place of a file.
Result<Fd> OpenFile(const std::string& path, int flags, mode_t mode = 0600);
// Reads up to `n` bytes at `offset`; fewer only at the end of the file. Returns the count.
Result<size_t> ReadAt(const Fd& fd, uint8_t* out, size_t n, int64_t offset);
Status WriteAt(const Fd& fd, Bytes data, int64_t offset);
Result<int64_t> FileSize(const Fd& fd);
// The whole file; more than `max` bytes, or no regular file, is kInvalid.
Result<std::string> ReadFile(const std::string& path, size_t max);
// Temporary file beside `path`, then rename; no reader sees half. `durable` adds both fsyncs.
Status WriteFileAtomic(const std::string& path, std::string_view content, bool durable);
Status SyncFolder(const std::string& folder);
// "a/b/c" -> "a/b"; "c" -> "."
std::string FolderOf(const std::string& path);
// "a/b/c" -> "c"
std::string NameOf(const std::string& path);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_BASE_FILE_H_
