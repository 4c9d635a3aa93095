#include "tools/target_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "tools/database_lock.h"
#include "tools/follow_file.h"

namespace backstay {
namespace {

constexpr off_t kLeastPage = 512;  // of SQLite
constexpr const char* kTemporary = ".backstay-restore";
// Files beside the target that belong to its old content; kept aside until the rename is done.
constexpr const char* kBeside[] = {"-wal", "-journal", "-backstay", "-follow"};

// Of a local file: never to be taken for "no replica".
Status Local(const std::string& context, int errnum) {
  Status status = Status::Errno(context, errnum);
  return status.code() == Code::kNotFound ? Status(Code::kIo, status.message()) : status;
}

// The state folder is one.
void Remove(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
}

bool HasContent(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 ? info.st_size > 0 : errno != ENOENT;
}

// Zeros, or the beginning of SQLite's magic.
bool IsCutOffHeader(const std::string& path) {
  static constexpr std::string_view kMagic("SQLite format 3\0", 16);
  Result<std::string> content = ReadFile(path, kLeastPage - 1);
  if (!content.ok()) return false;
  if (content->find_first_not_of('\0') == std::string::npos) return true;
  const size_t n = std::min(content->size(), kMagic.size());
  return content->substr(0, n) == kMagic.substr(0, n);
}

// Of a file that is there. A crash leaves its content in the journal or the WAL.
bool HoldsNothing(const std::string& path, const struct stat& info) {
  if (!S_ISREG(info.st_mode) || info.st_size >= kLeastPage) return false;
  if (info.st_size > 0 && !IsCutOffHeader(path)) return false;
  return !HasContent(path + "-wal") && !HasContent(path + "-journal");
}

mode_t Umask() {
  const mode_t mask = umask(022);
  umask(mask);
  return mask;
}

}  // namespace

Result<bool> DatabaseExists(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) == 0) return !HoldsNothing(path, info);
  if (errno == ENOENT) return false;
  return Local("stat " + path, errno);
}

TargetFile::TargetFile(std::string target, const Options& options)
    : target_(std::move(target)), temporary_(target_ + kTemporary), options_(options) {}

TargetFile::~TargetFile() {
  if (fd_.valid() && !keep_) unlink(temporary_.c_str());
}

Result<std::unique_ptr<TargetFile>> TargetFile::Create(const std::string& target,
                                                       const Options& options) {
  std::unique_ptr<TargetFile> file(new TargetFile(target, options));
  BACKSTAY_TRY(file->CheckTarget());
  BACKSTAY_TRY(file->OpenTemporary());
  BACKSTAY_TRY(file->SetOwner());
  return file;
}

Status TargetFile::CheckTarget() {
  struct stat folder {};
  const std::string folder_path = FolderOf(target_);
  if (stat(folder_path.c_str(), &folder) != 0 || !S_ISDIR(folder.st_mode)) {
    return {Code::kIo, "the folder " + folder_path +
                           " does not exist; create it, or mount the volume it is on"};
  }
  struct stat info {};
  if (stat(target_.c_str(), &info) != 0) {
    return errno == ENOENT ? Status::Ok() : Local("stat " + target_, errno);
  }
  if (!S_ISREG(info.st_mode)) return {Code::kExists, target_ + ": exists and is not a file"};
  if (!options_.force && !HoldsNothing(target_, info)) {
    return {Code::kExists, target_ + ": exists; -force replaces it, -o restores to another file"};
  }
  old_ = info;
  // One that follows a replica, perhaps in another container, has it open between its commits.
  const Status followed = FollowFile::Open(target_).status();
  return followed.code() == Code::kExists ? followed : DatabaseLock::Take(target_).status();
}

Status TargetFile::OpenTemporary() {
  struct stat before {};
  const bool existed = lstat(temporary_.c_str(), &before) == 0;
  Fd fd(open(temporary_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd.valid()) return Local("create " + temporary_, errno);
  if (flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    return {Code::kExists, target_ + ": another restore to it is under way"};
  }
  // Between the open and the lock the other restore may have finished, and renamed this file.
  struct stat mine {};
  struct stat named {};
  if (fstat(fd.get(), &mine) != 0 || lstat(temporary_.c_str(), &named) != 0 ||
      mine.st_ino != named.st_ino || mine.st_dev != named.st_dev) {
    return {Code::kExists, target_ + ": another restore to it has just ended"};
  }
  fd_ = std::move(fd);
  FinishInterrupted(existed);
  holds_pages_ = mine.st_size >= kLeastPage;
  keep_ = holds_pages_;
  if (!holds_pages_ && ftruncate(fd_.get(), 0) != 0) return Local("empty " + temporary_, errno);
  return Status::Ok();
}

// A restore that was killed between MoveAside and Rename left its temporary file: the target is the
// old one and gets its files back. Behind the rename they are rubbish.
void TargetFile::FinishInterrupted(bool temporary_existed) {
  if (temporary_existed && old_) {
    MoveBack();
    return;
  }
  for (const char* suffix : kBeside) Remove(temporary_ + suffix);
}

// As of a file that any program makes, and in a folder that a group shares (set-group-id, as
// Kubernetes makes it for an fsGroup) for all of the group.
mode_t TargetFile::NewMode(const struct stat& folder) const {
  constexpr mode_t kShared = S_ISGID | S_IWGRP;
  if (options_.mode) return *options_.mode;
  const mode_t mode = 0666 & ~Umask();
  return (folder.st_mode & kShared) == kShared ? mode | S_IRGRP | S_IWGRP : mode;
}

Status TargetFile::SetOwner() {
  struct stat folder {};
  if (stat(FolderOf(target_).c_str(), &folder) != 0) return Local("stat " + target_, errno);
  const mode_t mode = old_ && !options_.mode ? old_->st_mode & 07777 : NewMode(folder);
  const struct stat& owner = old_ ? *old_ : folder;
  // Root restores for the user whose folder it is; others cannot give files away.
  if (geteuid() == 0 && fchown(fd_.get(), owner.st_uid, owner.st_gid) != 0) {
    return Local("chown " + temporary_, errno);
  }
  if (fchmod(fd_.get(), mode) != 0) return Local("chmod " + temporary_, errno);
  return Status::Ok();
}

Status TargetFile::MoveAside() {
  for (const char* suffix : kBeside) {
    const std::string path = target_ + suffix;
    if (rename(path.c_str(), (temporary_ + suffix).c_str()) != 0 && errno != ENOENT) {
      return Local("rename " + path, errno);
    }
  }
  if (unlink((target_ + "-shm").c_str()) != 0 && errno != ENOENT) {
    return Local("remove " + target_ + "-shm", errno);
  }
  return Status::Ok();
}

void TargetFile::MoveBack() {
  for (const char* suffix : kBeside) {
    const std::string path = target_ + suffix;
    if (access(path.c_str(), F_OK) != 0) rename((temporary_ + suffix).c_str(), path.c_str());
  }
}

Status TargetFile::Rename() {
  const unsigned flags = options_.force || old_ ? 0 : RENAME_NOREPLACE;
  if (renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), flags) == 0) {
    return Status::Ok();
  }
  if (errno == EEXIST) return {Code::kExists, target_ + ": appeared while it was being restored"};
  // File systems without RENAME_NOREPLACE: the check and the rename, one after the other.
  const bool unsupported = errno == EINVAL || errno == ENOSYS;
  if (unsupported && access(target_.c_str(), F_OK) != 0 &&
      rename(temporary_.c_str(), target_.c_str()) == 0) {
    return Status::Ok();
  }
  return Local("rename " + temporary_, errno);
}

Status TargetFile::Install(const std::function<Status()>& beside) {
  if (fsync(fd_.get()) != 0) return Local("fsync " + temporary_, errno);
  Result<DatabaseLock> lock = DatabaseLock::Take(target_);
  if (!lock.ok()) return lock.status();
  Result<bool> exists = DatabaseExists(target_);
  if (!exists.ok()) return exists.status();
  if (*exists && !options_.force) {
    return {Code::kExists, target_ + ": appeared while it was being restored"};
  }
  // A database beside the WAL of another is a broken one: what belongs to the old goes first.
  Status moved = MoveAside();
  if (moved.ok() && beside) moved = beside();
  if (moved.ok()) moved = Rename();
  if (!moved.ok()) {
    MoveBack();
    return moved;
  }
  fd_.Close();
  BACKSTAY_TRY(SyncFolder(FolderOf(target_)));
  for (const char* suffix : kBeside) Remove(temporary_ + suffix);
  return Status::Ok();
}

}  // namespace backstay
