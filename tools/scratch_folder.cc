#include "tools/scratch_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "tools/command.h"

namespace backstay {
namespace {

constexpr std::string_view kPrefix = "backstay-scratch-";
constexpr std::string_view kRandom = "XXXXXX";  // that mkdtemp(3) replaces
constexpr const char* kRemedy = "; name a folder with room and a right to write with -scratch";
constexpr int kTries = 10;

std::string DefaultParent() {
  const char* folder = getenv("TMPDIR");
  return folder != nullptr && folder[0] != '\0' ? folder : "/tmp";
}

// As Create() names them; every other one is somebody else's.
bool IsName(std::string_view name) {
  if (!name.starts_with(kPrefix) || name.size() != kPrefix.size() + kRandom.size()) return false;
  name.remove_prefix(kPrefix.size());
  return std::all_of(name.begin(), name.end(),
                     [](unsigned char c) { return isalnum(c) != 0 && c < 0x80; });
}

// Not valid of a link, nor of a folder that a command lives in.
Fd Locked(const std::string& folder) {
  Fd fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (fd.valid() && flock(fd.get(), LOCK_EX | LOCK_NB) == 0) return fd;
  return {};
}

// `folder` is ours, and what `fd` has locked.
bool IsStill(const std::string& folder, const Fd& fd) {
  struct stat named {};
  struct stat mine {};
  return lstat(folder.c_str(), &named) == 0 && fstat(fd.get(), &mine) == 0 &&
         named.st_ino == mine.st_ino && named.st_dev == mine.st_dev && mine.st_uid == geteuid();
}

// That the files of a folder take.
uint64_t BytesIn(const std::string& folder) {
  constexpr uint64_t kBlockBytes = 512;  // of st_blocks
  uint64_t bytes = 0;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    struct stat file {};
    if (lstat(entry->path().c_str(), &file) != 0) continue;
    bytes += static_cast<uint64_t>(file.st_blocks) * kBlockBytes;
  }
  return bytes;
}

void Remove(const std::string& folder) {
  std::error_code error;
  std::filesystem::remove_all(folder, error);
}

// Of commands that were killed.
void Sweep(const std::string& parent) {
  std::error_code error;
  std::filesystem::directory_iterator entry(parent, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (!IsName(entry->path().filename().string())) continue;
    const std::string path = entry->path().string();
    const Fd lock = Locked(path);
    if (lock.valid() && IsStill(path, lock)) Remove(path);
  }
}

}  // namespace

Result<std::unique_ptr<ScratchFolder>> ScratchFolder::Create(const std::string& parent) {
  const std::string above = parent.empty() ? DefaultParent() : parent;
  Sweep(above);
  // Another command that sweeps may take it for a leftover before it is locked.
  for (int i = 0; i < kTries; ++i) {
    std::string path = above + "/" + std::string(kPrefix) + std::string(kRandom);
    if (mkdtemp(path.data()) == nullptr) {
      const int error = errno;
      return Status(Code::kIo,
                    Status::Errno("make a scratch folder in " + above, error).message() + kRemedy);
    }
    Fd lock = Locked(path);
    if (lock.valid() && IsStill(path, lock)) {
      return std::unique_ptr<ScratchFolder>(new ScratchFolder(path, std::move(lock)));
    }
  }
  return Status(Code::kIo, "no scratch folder in " + above + " can be locked" + kRemedy);
}

ScratchFolder::~ScratchFolder() { Remove(path_); }

Status ScratchFolder::CheckRoom(uint64_t bytes) const {
  struct statvfs room {};
  // Where that cannot be asked the writing tells.
  if (statvfs(path_.c_str(), &room) != 0) return Status::Ok();
  const uint64_t free = uint64_t{room.f_bavail} * room.f_frsize;
  const uint64_t there = BytesIn(path_);
  if (there + free >= bytes) return Status::Ok();
  return {Code::kIo, "the database takes " + FormatBytes(bytes - there) + ", and in " +
                         FolderOf(path_) + " only " + FormatBytes(free) + " are free" + kRemedy};
}

}  // namespace backstay
