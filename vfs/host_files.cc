#include "vfs/host_files.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <iterator>

namespace backstay {
namespace {

bool IsAt(const std::string& path, const FileId& id) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && id == FileId(info.st_dev, info.st_ino);
}

// On a file with this inode number: an overlay has another device there than stat() says. Without
// /proc nothing is known; where it cannot be read for a moment, a lock is taken to be there.
bool HoldsLock(ino_t inode) noexcept {
  FILE* locks = std::fopen("/proc/locks", "re");
  if (locks == nullptr) return errno != ENOENT;
  bool found = false;
  for (char line[256]; !found && std::fgets(line, sizeof line, locks) != nullptr;) {
    long pid = 0;
    unsigned long number = 0;
    const int read = std::sscanf(line, "%*d: POSIX %*s %*s %ld %*x:%*x:%lu", &pid, &number);
    found = read == 2 && pid == getpid() && number == inode;
  }
  static_cast<void>(std::fclose(locks));
  return found;
}

}  // namespace

void HostFiles::Opened(const FileId& id, const SqliteCopy* copy) {
  std::lock_guard lock(mutex_);
  openers_[{id, copy}]++;
}

void HostFiles::Closed(const FileId& id, const SqliteCopy* copy) noexcept {
  std::lock_guard lock(mutex_);
  const auto opener = openers_.find({id, copy});
  if (opener != openers_.end() && --opener->second == 0) openers_.erase(opener);
  SweepLocked();
}

HostFile* HostFiles::Take(const InnerVfs& inner, const std::string& path, const FileId& id,
                          bool* moved) {
  std::lock_guard lock(mutex_);
  Handle& handle = handles_[id];
  if (handle.file != nullptr && !handle.file->Holds()) {
    lost_.push_back(std::move(handle));
    handle = {};
  }
  *moved = !IsAt(path, id);
  if (!*moved && handle.file == nullptr) {
    handle.file = HostFile::Open(inner, path);
    // Opened by path, it may be another file.
    *moved = handle.file != nullptr && !(IsAt(path, id) && handle.file->InPlace());
    if (*moved) handle.file.reset();
  }
  if (!*moved && handle.file != nullptr) {
    handle.users++;
    return handle.file.get();
  }
  SweepLocked();
  return nullptr;
}

void HostFiles::Give(HostFile* file) noexcept {
  std::lock_guard lock(mutex_);
  for (auto& [id, handle] : handles_) {
    if (handle.file.get() == file) handle.users--;
  }
  for (Handle& handle : lost_) {
    if (handle.file.get() == file) handle.users--;
  }
  SweepLocked();
}

void HostFiles::SweepLocked() noexcept {
  std::erase_if(lost_, [](const Handle& handle) { return handle.users == 0; });
  for (auto it = handles_.begin(); it != handles_.end();) {
    const Handle& handle = it->second;
    const bool ends =
        handle.users == 0 && (handle.file == nullptr || MayClose(it->first, *handle.file));
    it = ends ? handles_.erase(it) : std::next(it);
  }
}

bool HostFiles::MayClose(const FileId& id, const HostFile& file) const noexcept {
  // Given up without being closed.
  if (!file.Holds()) return true;
  // Without mutexes in SQLite, closing here would race with the application.
  if (leaving_ || !file.copy()->threadsafe) return false;
  for (auto it = openers_.lower_bound({id, nullptr}); it != openers_.end(); ++it) {
    const auto& [opened, copy] = it->first;
    if (opened != id) break;
    if (copy != file.copy()) return false;
  }
  return !HoldsLock(id.second);
}

}  // namespace backstay
