#include "tools/database_lock.h"

#include <fcntl.h>

#include <cerrno>

#include "tools/file_holder.h"

namespace backstay {
namespace {

// Pending byte, reserved byte and the 510 shared bytes.
constexpr off_t kDatabaseLocks = 0x40000000;
constexpr off_t kDatabaseLockBytes = 512;
// The eight WAL locks and the one that every connection to the -shm shares.
constexpr off_t kShmLocks = 120;
constexpr off_t kShmLockBytes = 9;

Status Open(const std::string& path, const std::string& who) {
  return {Code::kExists,
          path + ": the database is open" + who + "; stop the application that uses it first"};
}

Status TakeBytes(const Fd& fd, const std::string& path, off_t start, off_t length) {
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  lock.l_start = start;
  lock.l_len = length;
  if (fcntl(fd.get(), F_SETLK, &lock) == 0) return Status::Ok();
  if (errno != EAGAIN && errno != EACCES) return Status::Errno("lock " + path, errno);
  const bool known =
      fcntl(fd.get(), F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0;
  return Open(path, known ? " in process " + std::to_string(lock.l_pid) : "");
}

// An existing file, or an invalid Fd; never creates one.
Result<Fd> OpenExisting(const std::string& path) {
  Result<Fd> fd = OpenFile(path, O_RDWR);
  if (!fd.ok() && fd.status().code() == Code::kNotFound) return Fd();
  return fd;
}

}  // namespace

Result<DatabaseLock> DatabaseLock::Take(const std::string& path) {
  Result<Fd> database = OpenExisting(path);
  if (!database.ok()) return database.status();
  if (!database->valid()) return DatabaseLock(Fd(), Fd());
  BACKSTAY_TRY(TakeBytes(*database, path, kDatabaseLocks, kDatabaseLockBytes));
  Result<Fd> shm = OpenExisting(path + "-shm");
  if (!shm.ok()) return shm.status();
  if (shm->valid()) BACKSTAY_TRY(TakeBytes(*shm, path, kShmLocks, kShmLockBytes));
  const std::string process = ProcessThatHolds(*database);
  if (!process.empty()) return Open(path, " in process " + process);
  return DatabaseLock(std::move(*database), std::move(*shm));
}

}  // namespace backstay
