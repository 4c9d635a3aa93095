#include "uploader/base/file.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <ctime>

#include "uploader/base/own_folder.h"

namespace backstay {
namespace {

std::string Nonce() {
  static std::atomic<uint32_t> count{0};
  timespec now{};
  (void)clock_gettime(CLOCK_REALTIME, &now);
  return std::to_string(now.tv_nsec) + std::to_string(++count);
}

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    Close();
    id_ = other.id_;
    fd_ = other.fd_.exchange(-1);
  }
  return *this;
}

std::atomic<uint64_t> Fd::lost_{0};

Fd::Id Fd::IdOf(int fd) noexcept {
  const int error = errno;
  struct stat info {};
  const bool open = fd >= 0 && fstat(fd, &info) == 0;
  errno = error;
  return open ? Id{info.st_dev, info.st_ino} : Id{};
}

// A file system (NFS, FUSE) may be unable to tell for a moment: that takes nothing away.
bool Fd::IsOurs(int fd) const noexcept {
  const int error = errno;
  struct stat info {};
  // Not fstat(): whether the number is ours still is the question, and ThreadSanitizer takes that
  // call for a use of a descriptor that another thread may have opened.
  const bool told = fstatat(fd, "", &info, AT_EMPTY_PATH) == 0;
  const bool open = told || errno != EBADF;
  errno = error;
  return told && id_ != Id{} ? id_ == Id{info.st_dev, info.st_ino} : open;
}

int Fd::get() const {
  int fd = fd_.load();
  if (fd < 0 || IsOurs(fd)) return fd;
  if (fd_.compare_exchange_strong(fd, -1)) ++lost_;
  return -1;
}

bool Fd::ForgetIfGone() noexcept {
  if (const int fd = fd_; fd < 0 || IsOurs(fd)) return false;
  fd_ = -1;
  return true;
}

void Fd::Close() {
  if (const int fd = get(); fd >= 0) close(fd);
  fd_ = -1;
}

Result<Fd> OpenFile(const std::string& path, int flags, mode_t mode) {
  int fd = open(path.c_str(), flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
  if (fd < 0) return Status::Errno("open " + path, errno);
  return Fd(fd);
}

Result<size_t> ReadAt(const Fd& fd, uint8_t* out, size_t n, int64_t offset) {
  size_t done = 0;
  while (done < n) {
    ssize_t got = pread(fd.get(), out + done, n - done, offset + static_cast<int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Status::Errno("read", errno);
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  return done;
}

Status CheckSizeLimit(int64_t size) {
  struct rlimit limit {};
  const bool fits = getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
                    size <= 0 || static_cast<uint64_t>(size) <= limit.rlim_cur;
  return fits ? Status::Ok() : Status::Errno("limit of this process (ulimit -f)", EFBIG);
}

Status WriteAt(const Fd& fd, Bytes data, int64_t offset) {
  BACKSTAY_TRY(CheckSizeLimit(offset + static_cast<int64_t>(data.size())));
  size_t done = 0;
  while (done < data.size()) {
    ssize_t put = pwrite(fd.get(), data.data() + done, data.size() - done,
                         offset + static_cast<int64_t>(done));
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return Status::Errno("write", errno);
    done += static_cast<size_t>(put);
  }
  return Status::Ok();
}

Result<int64_t> FileSize(const Fd& fd) {
  struct stat info {};
  if (fstat(fd.get(), &info) != 0) return Status::Errno("stat", errno);
  return static_cast<int64_t>(info.st_size);
}

Result<std::string> ReadFile(const std::string& path, size_t max) {
  Result<Fd> fd = OpenFile(path, O_RDONLY);
  if (!fd.ok()) return fd.status();
  struct stat info {};
  if (fstat(fd->get(), &info) != 0) return Status::Errno("stat " + path, errno);
  if (!S_ISREG(info.st_mode)) return Status(Code::kInvalid, path + ": is not a regular file");
  if (static_cast<uint64_t>(info.st_size) > max) {
    return Status(Code::kInvalid, path + ": larger than " + std::to_string(max) + " bytes");
  }
  std::string content(static_cast<size_t>(info.st_size), '\0');
  Result<size_t> got = ReadAt(*fd, reinterpret_cast<uint8_t*>(content.data()), content.size(), 0);
  if (!got.ok()) return got.status().Wrap(path);
  content.resize(*got);
  return content;
}

Status WriteFileAtomic(const std::string& path, std::string_view content, bool durable) {
  Result<OwnFolder> folder = OwnFolder::Open(FolderOf(path));
  if (!folder.ok()) return folder.status();
  const std::string name = NameOf(path);
  // A process of the same number may run in another container.
  const std::string temporary = name + ".tmp" + std::to_string(getpid()) + "-" + Nonce();
  Status done = [&]() -> Status {
    Result<Fd> fd = folder->MakeFile(temporary);
    if (!fd.ok()) return fd.status();
    BACKSTAY_TRY(WriteAt(*fd, AsBytes(content), 0).Wrap(path));
    if (durable && fsync(fd->get()) != 0) return Status::Errno("fsync " + temporary, errno);
    BACKSTAY_TRY(folder->Rename(temporary, name));
    return durable ? SyncFolder(FolderOf(path)) : Status::Ok();
  }();
  if (!done.ok()) folder->Remove(temporary);
  return done;
}

Status SyncFolder(const std::string& folder) {
  Result<Fd> fd = OpenFile(folder, O_RDONLY | O_DIRECTORY);
  if (!fd.ok()) return fd.status();
  if (fsync(fd->get()) != 0) return Status::Errno("fsync " + folder, errno);
  return Status::Ok();
}

std::string FolderOf(const std::string& path) {
  size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

std::string NameOf(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace backstay
