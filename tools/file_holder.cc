#include "tools/file_holder.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cctype>
#include <memory>

namespace backstay {
namespace {

using Folder = std::unique_ptr<DIR, int (*)(DIR*)>;

bool HoldsFile(const std::string& fd_folder, const struct stat& file) {
  Folder folder(opendir(fd_folder.c_str()), &closedir);
  if (folder == nullptr) return false;
  while (const dirent* entry = readdir(folder.get())) {
    struct stat info {};
    if (fstatat(dirfd(folder.get()), entry->d_name, &info, 0) != 0) continue;
    if (info.st_dev == file.st_dev && info.st_ino == file.st_ino) return true;
  }
  return false;
}

}  // namespace

std::string ProcessThatHolds(const Fd& file) {
  struct stat info {};
  Folder processes(opendir("/proc"), &closedir);
  if (processes == nullptr || fstat(file.get(), &info) != 0) return "";
  const std::string self = std::to_string(getpid());
  while (const dirent* entry = readdir(processes.get())) {
    std::string process = entry->d_name;
    if (isdigit(static_cast<unsigned char>(process[0])) == 0 || process == self) continue;
    if (HoldsFile("/proc/" + process + "/fd", info)) return process;
  }
  return "";
}

}  // namespace backstay
