#include "uploader/base/own_folder.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace backstay {
namespace {

constexpr mode_t kGroup = S_IRGRP | S_IWGRP;

bool IsRoot() { return geteuid() == 0; }

}  // namespace

void GiveTo(const Fd& made, const struct stat& model) {
  if (!IsRoot() || model.st_uid == 0) return;
  [[maybe_unused]] int ignored = fchown(made.get(), model.st_uid, model.st_gid);
}

Result<OwnFolder> OwnFolder::Open(const std::string& path) {
  struct stat link {};
  if (lstat(path.c_str(), &link) != 0) return Status::Errno("open " + path, errno);
  if (IsRoot() && S_ISLNK(link.st_mode) && link.st_uid != 0) {
    return Status(Code::kDenied, path + " is a link of another user, which root does not follow");
  }
  // It may have become one meanwhile.
  const int follow = S_ISLNK(link.st_mode) ? 0 : O_NOFOLLOW;
  Result<Fd> fd = backstay::OpenFile(path, O_PATH | O_DIRECTORY | follow);
  if (!fd.ok()) return fd.status();
  struct stat info {};
  if (fstat(fd->get(), &info) != 0) return Status::Errno("stat " + path, errno);
  return OwnFolder(path, std::move(*fd), info);
}

Status OwnFolder::Failed(const char* what, const std::string& name) const {
  return Status::Errno(std::string(what) + " " + path_ + "/" + name, errno);
}

bool OwnFolder::MayWrite(const Fd& file) const {
  struct stat info {};
  if (fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) return false;
  if (!IsRoot()) return true;
  // A file of root's own may have got there by a link or a rename. Where a group shares the folder,
  // what all of it may write to anyway is another member's.
  const bool shared = (info_.st_mode & info.st_mode & S_IWGRP) != 0 && info.st_gid == info_.st_gid;
  return info.st_nlink == 1 && (shared || info.st_uid == info_.st_uid);
}

Result<Fd> OwnFolder::OpenFile(const std::string& name) const {
  constexpr int kFlags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  Fd file(openat(fd_.get(), name.c_str(), kFlags));
  if (file.valid() && MayWrite(file)) return file;
  const bool strange = file.valid() || errno == ELOOP || errno == EACCES || errno == ENXIO;
  if (!strange && errno != ENOENT) return Failed("open", name);
  const bool ours = IsRoot() || info_.st_uid == geteuid();
  if (strange && !ours) return Status(Code::kDenied, path_ + "/" + name + " cannot be written");
  if (strange) Remove(name);
  return MakeFile(name);
}

Result<Fd> OwnFolder::OpenLock(const std::string& name) const {
  constexpr int kFlags = O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  Fd file(openat(fd_.get(), name.c_str(), kFlags));
  if (file.valid()) return file;
  if (errno != ENOENT) return Failed("open", name);
  Result<Fd> made = MakeFile(name);
  if (made.ok() || made.status().code() != Code::kExists) return made;
  // Another process was faster.
  file = Fd(openat(fd_.get(), name.c_str(), kFlags));
  if (!file.valid()) return Failed("open", name);
  return file;
}

Result<Fd> OwnFolder::MakeFile(const std::string& name) const {
  const mode_t mode = 0600 | ((info_.st_mode & S_IWGRP) != 0 ? kGroup : 0);
  Fd file(
      openat(fd_.get(), name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
  if (!file.valid()) return Failed("open", name);
  GiveTo(file, info_);
  // The umask does not know who uses the database.
  if ((mode & kGroup) != 0) (void)fchmod(file.get(), mode);
  return file;
}

Status OwnFolder::Rename(const std::string& from, const std::string& to) const {
  const int done = renameat(fd_.get(), from.c_str(), fd_.get(), to.c_str());
  return done == 0 ? Status::Ok() : Failed("rename to", to);
}

Status OwnFolder::Exchange(const std::string& from, const std::string& to) const {
  const int done = renameat2(fd_.get(), from.c_str(), fd_.get(), to.c_str(), RENAME_EXCHANGE);
  return done == 0 ? Status::Ok() : Rename(from, to);
}

void OwnFolder::Remove(const std::string& name) const {
  (void)unlinkat(fd_.get(), name.c_str(), 0);
}

void OwnFolder::GiveSocket(const std::string& name) const {
  const Fd made(openat(fd_.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (!made.valid() || fstat(made.get(), &info) != 0 || !S_ISSOCK(info.st_mode)) return;
  if (IsRoot() && info_.st_uid != 0 && info.st_nlink == 1) {
    [[maybe_unused]] int ignored =
        fchownat(made.get(), "", info_.st_uid, info_.st_gid, AT_EMPTY_PATH);
  }
  const std::string path = "/proc/self/fd/" + std::to_string(made.get());
  if ((info_.st_mode & S_IWGRP) != 0) (void)chmod(path.c_str(), 0600 | kGroup);
}

}  // namespace backstay
