#include <sys/stat.h>

#include <exception>

#include "vfs/shim_file.h"
#include "vfs/shim_vfs.h"

namespace backstay {
namespace {

// What is not replicated: read-only, without locks, in memory.
bool Excluded(int flags, const UriParameters& parameters) {
  return (flags & (SQLITE_OPEN_READONLY | SQLITE_OPEN_MEMORY | SQLITE_OPEN_DELETEONCLOSE)) != 0 ||
         IsTrue(parameters, "immutable") || IsTrue(parameters, "nolock");
}

void OpenedMain(Process* process, const InnerVfs& inner, const char* zName, sqlite3_file* file,
                int flags, int out) {
  UriParameters parameters;
  if ((flags & SQLITE_OPEN_URI) != 0) parameters = ReadUriParameters(zName);
  const int all = flags | (out & SQLITE_OPEN_READONLY);
  const bool selected =
      FindParameter(parameters, "replica") != nullptr || process->selection().Selects(zName);
  if (!selected || Excluded(all, parameters) || IsShimmed(file)) return;
  struct stat info;
  // The file that was opened, not one that has its name by now.
  if (stat(zName, &info) != 0 || HasMoved(file, file->pMethods)) return;
  Database* database =
      process->Attach({zName, std::move(parameters), {info.st_dev, info.st_ino}, inner});
  if (database == nullptr) return;
  try {
    ShimMainFile(process, database, file);
  } catch (const std::exception&) {
    process->Detach(database);
    throw;
  }
}

void OpenedWal(Process* process, const InnerVfs& inner, const char* zName, sqlite3_file* file) {
  if (IsShimmed(file)) return;
  Database* database = process->Use(DatabaseOfWal(zName), inner.copy);
  if (database == nullptr) return;
  try {
    ShimWalFile(process, database, file);
  } catch (const std::exception&) {
    process->Detach(database);
    throw;
  }
  database->EnsureEngine();
}

}  // namespace

void ShimOpened(const InnerVfs& inner, const char* zName, sqlite3_file* file, int flags,
                int out) noexcept {
  Process* process = Process::Current();
  if (process == nullptr || zName == nullptr || file->pMethods == nullptr) return;
  try {
    if ((flags & SQLITE_OPEN_MAIN_DB) != 0) {
      OpenedMain(process, inner, zName, file, flags, out);
    } else if ((flags & SQLITE_OPEN_WAL) != 0) {
      OpenedWal(process, inner, zName, file);
    }
  } catch (const std::exception&) {
    process->SayOnce(BACKSTAY_ERROR, {}, "out of memory; a connection is not replicated");
  }
}

}  // namespace backstay
