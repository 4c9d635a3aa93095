#include "tools/follow_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "tools/file_holder.h"
#include "uploader/base/own_folder.h"

namespace backstay {
namespace {

constexpr size_t kMaxBytes = 64 << 10;

}  // namespace

Result<FollowFile> FollowFile::Open(const std::string& copy) {
  FollowFile file(copy);
  while (true) {
    Result<Fd> fd = OpenFile(file.path_, O_RDWR | O_NOFOLLOW);
    if (!fd.ok()) return fd.status();
    file.locked_ = std::move(*fd);
    BACKSTAY_TRY(file.Lock());
    // Between the open and the lock another process may have saved.
    Result<bool> named = file.IsNamed();
    if (!named.ok()) return named.status();
    if (*named) return file;
  }
}

Status FollowFile::Lock() {
  if (flock(locked_.get(), LOCK_EX | LOCK_NB) == 0) return Status::Ok();
  if (errno != EWOULDBLOCK) return Status::Errno("lock " + path_, errno);
  const std::string process = ProcessThatHolds(locked_);
  return {Code::kExists, copy_ + ": another restore -f follows a replica into it, " +
                             (process.empty() ? "in a process that cannot be seen from here "
                                                "(another container's, or another user's)"
                                              : "in process " + process) +
                             "; stop that one first, or name another file with -o"};
}

Result<bool> FollowFile::IsNamed() const {
  struct stat mine {};
  struct stat named {};
  if (fstat(locked_.get(), &mine) != 0) return Status::Errno("stat " + path_, errno);
  if (lstat(path_.c_str(), &named) != 0) return Status::Errno("stat " + path_, errno);
  return mine.st_dev == named.st_dev && mine.st_ino == named.st_ino;
}

Result<FollowState> FollowFile::Load() const {
  std::string text(kMaxBytes, '\0');
  Result<size_t> got = ReadAt(locked_, reinterpret_cast<uint8_t*>(text.data()), text.size(), 0);
  if (!got.ok()) return got.status().Wrap(path_);
  text.resize(*got);
  Result<FollowState> state = FollowState::Parse(text);
  return state.ok() ? state : state.status().Wrap(path_);
}

// What a kill has left there of an earlier one is replaced: nobody else writes it.
Result<Fd> FollowFile::Write(const std::string& path, std::string_view text) const {
  Result<OwnFolder> folder = OwnFolder::Open(FolderOf(path));
  if (!folder.ok()) return folder.status();
  folder->Remove(NameOf(path));
  Result<Fd> fd = folder->MakeFile(NameOf(path));
  if (!fd.ok()) return fd;
  if (flock(fd->get(), LOCK_EX | LOCK_NB) != 0) return Status::Errno("lock " + path, errno);
  BACKSTAY_TRY(WriteAt(*fd, AsBytes(text), 0).Wrap(path));
  if (fsync(fd->get()) != 0) return Status::Errno("fsync " + path, errno);
  BACKSTAY_TRY(folder->Rename(NameOf(path), NameOf(path_)));
  return fd;
}

Status FollowFile::Save(const FollowState& state) {
  const std::string next = path_ + ".new";
  Result<Fd> fd = Write(next, state.Text());
  if (!fd.ok()) unlink(next.c_str());
  if (!fd.ok()) return fd.status();
  locked_ = std::move(*fd);
  return SyncFolder(FolderOf(path_));
}

}  // namespace backstay
