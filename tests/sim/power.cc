#include "tests/sim/power.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "tests/sim/scheduler.h"

namespace backstay::sim {
namespace fs = std::filesystem;
namespace {

// Past our own calls, which are points, and tell of themselves.
std::string ReadAll(int fd) {
  std::string all;
  std::array<char, 1 << 16> part{};
  for (long n = 0; (n = syscall(SYS_pread64, fd, part.data(), part.size(), all.size())) > 0;)
    all.append(part.data(), static_cast<size_t>(n));
  return all;
}

void WriteAll(const std::string& path, const std::string& content, int flags) {
  const auto fd = static_cast<int>(
      syscall(SYS_openat, AT_FDCWD, path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600));
  if (fd < 0) abort();
  const long wrote = syscall(SYS_write, fd, content.data(), content.size());
  if (wrote != static_cast<long>(content.size())) abort();
  syscall(SYS_close, fd);
}

std::string ReadPath(const std::string& path) {
  const auto fd = static_cast<int>(syscall(SYS_openat, AT_FDCWD, path.c_str(), O_RDONLY));
  if (fd < 0) return "";
  std::string all = ReadAll(fd);
  syscall(SYS_close, fd);
  return all;
}

std::string DiskOf(const std::string& folder) { return folder + "/disk"; }

std::string FlushedCopy(const std::string& folder, uint64_t inode) {
  return DiskOf(folder) + "/" + std::to_string(inode);
}

// Empty: not one of ours.
std::string PathOf(int folder, const char* path) {
  std::string full = path;
  if (full.empty() || full[0] != '/') {
    std::array<char, PATH_MAX> at{};
    const std::string link = "/proc/self/fd/" + std::to_string(folder);
    const ssize_t n = readlink(link.c_str(), at.data(), at.size());
    if (n <= 0) return "";
    full = std::string(at.data(), static_cast<size_t>(n)) + (full.empty() ? "" : "/" + full);
  }
  const std::string base = world->folder.data();
  const std::string own = base + "/db";
  return full == base || full.compare(0, own.size(), own) == 0 ? full : "";
}

struct Name {
  std::string did;   // "removed", "renamed"
  std::string from;  // of a rename
  std::string path;
  uint64_t inode = 0;  // what had the name before; 0: nobody
  std::string copy;    // what it held
};

void NoteName(const Name& name) {
  std::ostringstream line;
  line << name.did << '\t' << name.from << '\t' << name.path << '\t' << name.inode << '\t'
       << name.copy << '\n';
  WriteAll(DiskOf(world->folder.data()) + "/names", line.str(), O_APPEND);
}

// What has the name now is about to lose it.
void Keep(Name* name) {
  struct stat info {};
  if (syscall(SYS_newfstatat, AT_FDCWD, name->path.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
    return;
  if (!S_ISREG(info.st_mode)) return;
  name->inode = info.st_ino;
  name->copy = DiskOf(world->folder.data()) + "/was" + std::to_string(world->points) + "-" +
               std::to_string(info.st_ino);
  WriteAll(name->copy, ReadPath(name->path), O_TRUNC);
}

// What is there of a file when the power comes back.
std::string Mix(const std::string& flushed, const std::string& written, Random* random) {
  constexpr size_t kSector = 512;
  const uint64_t how = random->Below(4);
  if (flushed == written || how == 0) return flushed;
  if (how == 1) return written;
  const bool torn = random->Chance(300);
  const size_t block = torn ? kSector : 8 * kSector;
  size_t size = random->Chance(500) ? flushed.size() : written.size();
  std::string mixed(size, 0);
  const uint64_t kept_per_mille = 100 + random->Below(800);
  for (size_t at = 0; at < size; at += block) {
    const std::string& from = random->Chance(kept_per_mille) ? written : flushed;
    if (at >= from.size()) continue;
    const size_t n = std::min({block, size - at, from.size() - at});
    mixed.replace(at, n, from, at, n);
  }
  return mixed;
}

void UndoNames(const std::string& folder, Random* random) {
  std::vector<Name> names;
  std::ifstream log(DiskOf(folder) + "/names");
  for (std::string line; std::getline(log, line);) {
    Name name;
    std::istringstream fields(line);
    std::string inode;
    std::getline(fields, name.did, '\t');
    std::getline(fields, name.from, '\t');
    std::getline(fields, name.path, '\t');
    std::getline(fields, inode, '\t');
    std::getline(fields, name.copy, '\t');
    name.inode = std::strtoull(inode.c_str(), nullptr, 10);
    names.push_back(name);
  }
  for (uint64_t undone = random->Below(names.size() + 1); undone > 0; --undone) {
    const Name& name = names[names.size() - 1];
    std::error_code ignored;
    if (name.did == "renamed") fs::rename(name.path, name.from, ignored);
    if (name.inode != 0) {
      const std::string flushed = ReadPath(FlushedCopy(folder, name.inode));
      WriteAll(name.path, Mix(flushed, ReadPath(name.copy), random), O_TRUNC);
      struct stat info {};
      if (stat(name.path.c_str(), &info) == 0) {
        world->Touch(info.st_ino);
        WriteAll(FlushedCopy(folder, info.st_ino), ReadPath(name.path), O_TRUNC);
      }
    }
    Say("power: undone: %s %s", name.did.c_str(), name.path.c_str());
    names.pop_back();
  }
}

template <typename Do>
void EachFile(const std::string& folder, const Do& act) {
  for (const char* below : {"", "/db-backstay"}) {
    std::error_code ignored;
    std::vector<fs::path> paths;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder + below, ignored)) {
      const bool ours = *below != 0 || entry.path().filename().string().rfind("db", 0) == 0;
      if (ours && entry.is_regular_file() && !entry.is_symlink()) paths.push_back(entry.path());
    }
    // By name: the order of a folder is no seed's.
    std::sort(paths.begin(), paths.end());
    for (const fs::path& path : paths) act(path.string());
  }
}

}  // namespace

void KeepDisk(const std::string& folder) {
  fs::remove_all(DiskOf(folder));
  fs::create_directory(DiskOf(folder));
  EachFile(folder, [&](const std::string& path) {
    struct stat info {};
    if (stat(path.c_str(), &info) == 0)
      WriteAll(FlushedCopy(folder, info.st_ino), ReadPath(path), O_TRUNC);
  });
}

void CutPower(const std::string& folder, Random* random) {
  UndoNames(folder, random);
  std::error_code ignored;
  fs::remove(folder + "/db-shm", ignored);
  EachFile(folder, [&](const std::string& path) {
    struct stat info {};
    if (stat(path.c_str(), &info) != 0) return;
    const std::string written = ReadPath(path);
    const std::string flushed = ReadPath(FlushedCopy(folder, info.st_ino));
    const std::string left = Mix(flushed, written, random);
    if (left == written) return;
    Say("power: %s: %zu bytes written, %zu flushed, %zu left", path.c_str() + folder.size() + 1,
        written.size(), flushed.size(), left.size());
    WriteAll(path, left, O_TRUNC);
  });
}

void Flushed(int fd) {
  const int error = errno;
  const std::string path = world->cuts != World::kNone ? PathOf(fd, "") : "";
  struct stat info {};
  if (!path.empty() && syscall(SYS_fstat, fd, &info) == 0) {
    // By the descriptor: one more, when it is closed, drops SQLite's locks.
    std::string now = ReadAll(fd);
    const bool unread = now.empty() && info.st_size != 0;
    if (unread) now = ReadPath(path);
    if (S_ISREG(info.st_mode))
      WriteAll(FlushedCopy(world->folder.data(), info.st_ino), now, O_TRUNC);
    WriteAll(DiskOf(world->folder.data()) + "/names", "", O_TRUNC);
  }
  errno = error;
}

void Removes(int folder, const char* path) {
  Name name{"removed", "", world->cuts != World::kNone ? PathOf(folder, path) : "", 0, ""};
  if (name.path.empty()) return;
  Keep(&name);
  if (name.inode != 0) NoteName(name);
}

void Renames(int from_folder, const char* from, int to_folder, const char* to) {
  if (world->cuts == World::kNone) return;
  Name name{"renamed", PathOf(from_folder, from), PathOf(to_folder, to), 0, ""};
  if (name.path.empty() || name.from.empty()) return;
  Keep(&name);
  NoteName(name);
}

}  // namespace backstay::sim
