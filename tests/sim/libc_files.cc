// Each change of a file is a point at which the process may die, and gives the file the time of the
// world: the kernel's own would tell of a change by how fast the simulation runs.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>

#include "tests/sim/libc_wrap.h"
#include "tests/sim/power.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/world.h"

// Their declarations have names that are not ours to use.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
using namespace backstay::sim;  // NOLINT: these are the C library's names

namespace {

int RealFstat(int fd, struct stat* info) {
  static auto* const real = BACKSTAY_REAL(fstat);
  return real(fd, info);
}

void Touch(int fd) {
  struct stat info {};
  if (RealFstat(fd, &info) == 0 && S_ISREG(info.st_mode)) world->Touch(info.st_ino);
}

void TouchPath(int folder, const char* path) {
  static auto* const real = BACKSTAY_REAL(fstatat);
  struct stat info {};
  if (real(folder, path, &info, AT_SYMLINK_NOFOLLOW) == 0) world->Touch(info.st_ino);
}

template <typename Info>
void SetTimes(Info* info) {
  if (!S_ISREG(info->st_mode) || !Scheduled()) return;
  const int64_t ns = world->TimeOf(info->st_ino);
  info->st_mtim = {ns / 1'000'000'000, ns % 1'000'000'000};
  info->st_ctim = info->st_mtim;
}

// A call that changes the file behind `fd`.
template <typename Call>
auto Changes(int fd, const Call& call) {
  if (!Scheduled()) return call();
  Point();
  const auto result = call();
  const int error = errno;
  Touch(fd);
  errno = error;
  return result;
}

template <typename Call, typename Before>
int ChangesName(int folder, const char* path, const Call& call, const Before& before) {
  if (!Scheduled()) return call();
  Point();
  before();
  const int result = call();
  const int error = errno;
  if (result == 0 && path != nullptr) TouchPath(folder, path);
  errno = error;
  return result;
}

}  // namespace

BACKSTAY_WRAP ssize_t write(int fd, const void* data, size_t n) {
  static auto* const real = BACKSTAY_REAL(write);
  return Changes(fd, [&] { return real(fd, data, n); });
}

BACKSTAY_WRAP ssize_t pwrite(int fd, const void* data, size_t n, off_t at) {
  static auto* const real = BACKSTAY_REAL(pwrite);
  return Changes(fd, [&] { return real(fd, data, n, at); });
}

BACKSTAY_WRAP ssize_t pwrite64(int fd, const void* data, size_t n, off64_t at) {
  return pwrite(fd, data, n, at);
}

BACKSTAY_WRAP int ftruncate(int fd, off_t size) noexcept {
  static auto* const real = BACKSTAY_REAL(ftruncate);
  return Changes(fd, [&] { return real(fd, size); });
}

BACKSTAY_WRAP int ftruncate64(int fd, off64_t size) noexcept { return ftruncate(fd, size); }

BACKSTAY_WRAP ssize_t pread(int fd, void* data, size_t n, off_t at) {
  static auto* const real = BACKSTAY_REAL(pread);
  if (Scheduled()) Point();
  return real(fd, data, n, at);
}

BACKSTAY_WRAP ssize_t pread64(int fd, void* data, size_t n, off64_t at) {
  return pread(fd, data, n, at);
}

// Of all that it can do, the locks are points. Whatever the argument is, it fits a pointer.
BACKSTAY_WRAP int fcntl(int fd, int command, ...) {
  static auto* const real = BACKSTAY_REAL(fcntl);
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  if (Scheduled() && (command == F_SETLK || command == F_GETLK || command == F_OFD_GETLK)) Point();
  return real(fd, command, argument);
}

BACKSTAY_WRAP int fcntl64(int fd, int command, ...) {
  va_list arguments;
  va_start(arguments, command);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  return fcntl(fd, command, argument);
}

BACKSTAY_WRAP int fsync(int fd) {
  static auto* const real = BACKSTAY_REAL(fsync);
  if (!Scheduled()) return real(fd);
  Point();
  Flushed(fd);
  return 0;
}

BACKSTAY_WRAP int fdatasync(int fd) {
  static auto* const real = BACKSTAY_REAL(fdatasync);
  if (!Scheduled()) return real(fd);
  Point();
  Flushed(fd);
  return 0;
}

BACKSTAY_WRAP int fsetxattr(int fd, const char* name, const void* value, size_t n,
                            int flags) noexcept {
  static auto* const real = BACKSTAY_REAL(fsetxattr);
  return Changes(fd, [&] { return real(fd, name, value, n, flags); });
}

BACKSTAY_WRAP int setxattr(const char* path, const char* name, const void* value, size_t n,
                           int flags) noexcept {
  static auto* const real = BACKSTAY_REAL(setxattr);
  return ChangesName(
      AT_FDCWD, path, [&] { return real(path, name, value, n, flags); }, [] {});
}

BACKSTAY_WRAP int unlink(const char* path) noexcept {
  static auto* const real = BACKSTAY_REAL(unlink);
  return ChangesName(
      AT_FDCWD, nullptr, [&] { return real(path); }, [&] { Removes(AT_FDCWD, path); });
}

BACKSTAY_WRAP int unlinkat(int folder, const char* path, int flags) noexcept {
  static auto* const real = BACKSTAY_REAL(unlinkat);
  return ChangesName(
      folder, nullptr, [&] { return real(folder, path, flags); }, [&] { Removes(folder, path); });
}

BACKSTAY_WRAP int rename(const char* from, const char* to) noexcept {
  static auto* const real = BACKSTAY_REAL(rename);
  return ChangesName(
      AT_FDCWD, to, [&] { return real(from, to); }, [&] { Renames(AT_FDCWD, from, AT_FDCWD, to); });
}

BACKSTAY_WRAP int renameat(int from_folder, const char* from, int to_folder,
                           const char* to) noexcept {
  static auto* const real = BACKSTAY_REAL(renameat);
  return ChangesName(
      to_folder, to, [&] { return real(from_folder, from, to_folder, to); },
      [&] { Renames(from_folder, from, to_folder, to); });
}

BACKSTAY_WRAP int renameat2(int from_folder, const char* from, int to_folder, const char* to,
                            unsigned flags) noexcept {
  static auto* const real = BACKSTAY_REAL(renameat2);
  return ChangesName(
      to_folder, to, [&] { return real(from_folder, from, to_folder, to, flags); },
      [&] { Renames(from_folder, from, to_folder, to); });
}

BACKSTAY_WRAP int stat(const char* path, struct stat* info) noexcept {
  static auto* const real = BACKSTAY_REAL(stat);
  const int rc = real(path, info);
  if (rc == 0) SetTimes(info);
  return rc;
}

BACKSTAY_WRAP int stat64(const char* path, struct stat64* info) noexcept {
  static auto* const real = BACKSTAY_REAL(stat64);
  const int rc = real(path, info);
  if (rc == 0) SetTimes(info);
  return rc;
}

BACKSTAY_WRAP int fstat(int fd, struct stat* info) noexcept {
  const int rc = RealFstat(fd, info);
  if (rc == 0) SetTimes(info);
  return rc;
}

BACKSTAY_WRAP int fstat64(int fd, struct stat64* info) noexcept {
  static auto* const real = BACKSTAY_REAL(fstat64);
  const int rc = real(fd, info);
  if (rc == 0) SetTimes(info);
  return rc;
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
