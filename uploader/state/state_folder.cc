#include "uploader/state/state_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <system_error>
#include <thread>

#include "uploader/base/hash.h"
#include "uploader/base/own_folder.h"
#include "uploader/state/database_mark.h"
#include "uploader/state/database_origin.h"
#include "uploader/state/index_file.h"
#include "uploader/state/restored.h"

namespace backstay {
namespace {

constexpr int64_t kNsPerS = 1000000000;

int64_t Nanoseconds(const timespec& time) { return time.tv_sec * kNsPerS + time.tv_nsec; }

// Owner, when we may give it away, and whether a group may write: as of the database. Nothing is
// followed that was put in its place. Not being able to is no reason to fail: it works for us as it
// is.
void FollowDatabase(const std::string& path, const std::string& database) {
  struct stat model {};
  struct stat info {};
  if (stat(database.c_str(), &model) != 0) return;
  const Fd fd(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid() || fstat(fd.get(), &info) != 0) return;
  [[maybe_unused]] int ignored = 0;
  if (geteuid() == 0) ignored = fchown(fd.get(), model.st_uid, model.st_gid);
  if ((model.st_mode & S_IWGRP) == 0) return;
  const mode_t shared = S_ISDIR(info.st_mode) ? S_ISGID | S_IRWXG : S_IRGRP | S_IWGRP;
  ignored = fchmod(fd.get(), (info.st_mode & 07777) | shared);
}

// What a process that was killed has left of a file that it was writing. One that is being written
// is younger. (The library's own iterator ends the process when memory runs out.)
void RemoveLeftovers(const std::string& folder) {
  constexpr time_t kAge = 60;  // s
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(folder.c_str()), &closedir);
  if (dir == nullptr) return;
  while (const dirent* entry = readdir(dir.get())) {
    struct stat info {};
    if (strstr(entry->d_name, ".tmp") == nullptr) continue;
    if (fstatat(dirfd(dir.get()), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (time(nullptr) - info.st_mtime > kAge) unlinkat(dirfd(dir.get()), entry->d_name, 0);
  }
}

Status RemoveState(const std::string& database_path) {
  std::string folder = StateFolderOf(database_path);
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  if (error)
    return {Code::kIo, "state folder " + folder + " cannot be removed: " + error.message()};
  return Status::Ok();
}

}  // namespace

Status MakeStateFolder(const std::string& folder, const std::string& database_path) {
  if (mkdir(folder.c_str(), 0700) == 0) {
    FollowDatabase(folder, database_path);
  } else if (errno != EEXIST) {
    return Status::Errno("state folder " + folder + " cannot be made", errno);
  }
  if (access(folder.c_str(), W_OK | X_OK) != 0) {
    Status status = Status::Errno("state folder " + folder + " is not writable", errno);
    return {status.code(), status.message() + "; make it writable for this process"};
  }
  return Status::Ok();
}

std::string StateFolderOf(const std::string& database_path) { return database_path + "-backstay"; }

std::string StateFolderOf(const std::string& database_path, const std::string& replica, size_t i) {
  if (i == 0) return StateFolderOf(database_path);
  char name[32];
  snprintf(name, sizeof name, "/replica-%016llx",
           static_cast<unsigned long long>(Hash(AsBytes(replica))));
  return StateFolderOf(database_path) + name;
}

void LockRegister::Add(Fd* fd) {
  for (std::atomic<Fd*>& slot : fds_) {
    Fd* free = nullptr;
    if (slot.compare_exchange_strong(free, fd)) return;
  }
}

void LockRegister::Remove(Fd* fd) {
  for (std::atomic<Fd*>& slot : fds_) {
    Fd* found = fd;
    if (slot.compare_exchange_strong(found, nullptr)) return;
  }
}

void LockRegister::CloseAll() noexcept {
  for (std::atomic<Fd*>& slot : fds_) {
    if (Fd* fd = slot.exchange(nullptr); fd != nullptr) fd->Close();
  }
}

FolderLock::FolderLock(Fd fd, LockRegister* locks)
    : locks_(locks), fd_(std::make_unique<Fd>(std::move(fd))) {
  if (locks_ != nullptr) locks_->Add(fd_.get());
}

FolderLock::~FolderLock() {
  if (locks_ != nullptr && fd_ != nullptr) locks_->Remove(fd_.get());
}

Result<FolderLock> FolderLock::Take(const std::string& folder, const std::string& database_path,
                                    LockRegister* locks) {
  if (Status made = MakeStateFolder(folder, database_path); !made.ok()) return made;
  Result<OwnFolder> own = OwnFolder::Open(folder);
  if (!own.ok()) return own.status();
  Result<Fd> fd = own->OpenLock("lock");
  if (!fd.ok()) return fd.status();
  // Known before it is locked: a child may be forked at any time.
  FolderLock lock(std::move(*fd), locks);
  if (flock(lock.fd_->get(), LOCK_EX | LOCK_NB) == 0) {
    RemoveLeftovers(folder);
    return lock;
  }
  if (errno == EWOULDBLOCK) return Status(Code::kExists, "another process ships this database");
  return Status::Errno("lock " + folder + "/lock", errno);
}

// A process that ends asks, too, and may have no memory left.
bool FolderLock::IsIn(const std::string& folder) const {
  struct stat held {};
  struct stat there {};
  std::array<char, PATH_MAX> path{};
  const int length = std::snprintf(path.data(), path.size(), "%s/lock", folder.c_str());
  if (length < 0 || static_cast<size_t>(length) >= path.size()) return true;
  if (fstat(fd_->get(), &held) != 0) return true;
  if (stat(path.data(), &there) != 0) return errno != ENOENT && errno != ENOTDIR;
  return held.st_dev == there.st_dev && held.st_ino == there.st_ino;
}

FileId FileIdOf(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino};
}

bool FolderLock::IsHeld(const std::string& folder) {
  Result<Fd> fd = OpenFile(folder + "/lock", O_RDONLY);
  return fd.ok() && flock(fd->get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

FileStamp StampOf(const std::string& database_path) {
  struct stat info {};
  timespec ticked{};
  FileStamp stamp;
  // Before the file is looked at: whatever changes it after that look has this time at least.
  (void)clock_gettime(CLOCK_REALTIME_COARSE, &ticked);
  if (stat(database_path.c_str(), &info) != 0) return stamp;
  stamp.size = info.st_size;
  stamp.mtime_ns = Nanoseconds(info.st_mtim);
  stamp.ctime_ns = Nanoseconds(info.st_ctim);
  stamp.inode = info.st_ino;
  int64_t last = std::max(stamp.mtime_ns, stamp.ctime_ns);
  // Whole seconds: a file system whose clock is that coarse, FAT's even more.
  if (last % kNsPerS == 0) last += 2 * kNsPerS;
  stamp.settled = Nanoseconds(ticked) > last;
  return stamp;
}

FileStamp SettledStampOf(const std::string& database_path) {
  constexpr int kTries = 25;  // a tick of the coarsest clock in use, and more
  FileStamp stamp = StampOf(database_path);
  for (int i = 0; i < kTries && stamp.size >= 0 && !stamp.settled; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    stamp = StampOf(database_path);
  }
  return stamp;
}

namespace {

// Not being able to is no reason to fail: the replicas of its family are not known as such then.
void WriteOrigin(const std::string& database_path, const RestoredState& state) {
  const std::vector<uint64_t>& hashes = state.page_hashes;
  Family family{state.identity.family, state.restored_ms, state.time_ms};
  family.checksum = std::accumulate(hashes.begin(), hashes.end(), uint64_t{0});
  Status written = WriteHome(database_path);
  if (family.known()) written = WriteFamily(database_path, family);
  (void)written;
}

}  // namespace

Status WriteRestoredState(const std::string& database_path, const RestoredState& state) {
  BACKSTAY_TRY(RemoveState(database_path));
  // A restore to an earlier moment leaves no state: its next writer must not continue the log's
  // end.
  if (!state.at_end) return Status::Ok();
  const std::string folder = StateFolderOf(database_path, state.replica, state.number);
  BACKSTAY_TRY(MakeStateFolder(StateFolderOf(database_path), database_path));
  BACKSTAY_TRY(MakeStateFolder(folder, database_path));
  IndexFile index;
  // Before the stamp: it changes attributes of the file.
  index.ship.marked = WriteMark({database_path, folder}, state.identity.id, state.epoch).ok();
  WriteOrigin(database_path, state);
  index.identity = state.identity;
  index.replica = state.replica;
  index.encoded = {state.segment_number, state.segment_hash, state.txid, state.time_ms, false};
  index.stamp = SettledStampOf(database_path);
  index.ship.epoch = state.epoch;
  index.ship.void_below = state.void_below;
  index.ship.next_log_number = state.next_log_number;
  index.ship.shipped = index.encoded;
  index.ship.restorable = !state.new_base;
  index.ship.new_base = state.new_base;
  index.ship.base = state.base;
  index.hashes = state.page_hashes;
  BACKSTAY_TRY(WriteFileAtomic(folder + "/index", EncodeIndexFile(index), /*durable=*/true));
  FollowDatabase(folder + "/index", database_path);
  return Status::Ok();
}

}  // namespace backstay
