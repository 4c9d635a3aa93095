#include "vfs/host_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "uploader/engine_api.h"
#include "vfs/pinned.h"
#include "vfs/quiet_checks.h"

namespace backstay {
namespace {

// SQLite walks back over zeros to the start of a name, and forward over empty parameters.
constexpr size_t kZeros = 8;

}  // namespace

bool HasMoved(sqlite3_file* file, const sqlite3_io_methods* methods) noexcept {
  int moved = 0;
  const int rc = methods->xFileControl(file, SQLITE_FCNTL_HAS_MOVED, &moved);
  return rc == SQLITE_OK && moved != 0;
}

HostFile::HostFile(const InnerVfs& inner, const std::string& path)
    : inner_(inner),
      name_(std::make_unique<char[]>(path.size() + 2 * kZeros)),
      room_(new uint64_t[static_cast<size_t>(inner.vfs->szOsFile) / 8 + 1]()),
      file_(reinterpret_cast<sqlite3_file*>(room_.get())) {
  std::memcpy(name_.get() + kZeros, path.c_str(), path.size());
}

std::unique_ptr<HostFile> HostFile::Open(const InnerVfs& inner, const std::string& path) {
  std::unique_ptr<HostFile> host(new HostFile(inner, path));
  int flags = SQLITE_OPEN_READONLY | SQLITE_OPEN_MAIN_DB;
  const char* name = host->name_.get() + kZeros;
  {
    QuietChecks quiet(inner.vfs, QuietChecks::kOpen);
    if (inner.xOpen(inner.vfs, name, host->file_, flags, &flags) != SQLITE_OK) return nullptr;
    if (fstat(quiet.descriptor(), &host->id_) == 0) host->fd_ = quiet.descriptor();
  }
  // A VFS over another one returns that one's methods.
  PinModule(host->file_->pMethods);
  PinModule(reinterpret_cast<const void*>(host->file_->pMethods->xRead));
  return host;
}

HostFile::~HostFile() {
  if (file_->pMethods == nullptr) return;
  if (!Holds()) {
    // A file of the application's would be closed.
    static_cast<void>(room_.release());
    static_cast<void>(name_.release());
    return;
  }
  QuietChecks quiet(inner_.vfs, QuietChecks::kClose);
  file_->pMethods->xClose(file_);
}

bool HostFile::Holds() const noexcept {
  struct stat info;
  if (fd_ < 0) return true;
  // The next handle of the same file may have got the number: what is lost stays lost.
  if (lost_) return false;
  // A file system (NFS, FUSE) may be unable to tell for a moment: that takes nothing away.
  const int error = fstat(fd_, &info) == 0 ? 0 : errno;
  if (error != 0 && error != EBADF) return true;
  lost_ = error != 0 || info.st_dev != id_.st_dev || info.st_ino != id_.st_ino;
  return !lost_;
}

int64_t HostFile::Read(void* buffer, int64_t n, int64_t offset) noexcept {
  constexpr int kTries = 8;
  std::lock_guard lock(mutex_);
  if (offset < 0 || n < 0 || !Holds()) return -1;
  int64_t want = n;
  for (int i = 0; i < kTries; i++) {
    const int rc = ReadLocked(static_cast<char*>(buffer), want, offset);
    if (rc == SQLITE_OK) return want;
    if (rc != SQLITE_IOERR_SHORT_READ) return -1;
    // The file ends in there, or shrank meanwhile.
    const int64_t size = SizeLocked();
    if (size < 0) return -1;
    want = std::min(n, std::max<int64_t>(size - offset, 0));
  }
  return -1;
}

int HostFile::ReadLocked(char* out, int64_t n, int64_t offset) noexcept {
  constexpr int64_t kChunk = 1 << 30;
  for (int64_t done = 0; done < n;) {
    const int amount = static_cast<int>(std::min(n - done, kChunk));
    const int rc = file_->pMethods->xRead(file_, out + done, amount, offset + done);
    if (rc != SQLITE_OK) return rc;
    done += amount;
  }
  return SQLITE_OK;
}

int64_t HostFile::Size() noexcept {
  std::lock_guard lock(mutex_);
  return SizeLocked();
}

bool HostFile::InPlace() noexcept {
  std::lock_guard lock(mutex_);
  return !HasMoved(file_, file_->pMethods);
}

int64_t HostFile::SizeLocked() noexcept {
  if (!Holds()) return BACKSTAY_LOST;
  sqlite3_int64 size = 0;
  return file_->pMethods->xFileSize(file_, &size) == SQLITE_OK ? size : -1;
}

}  // namespace backstay
