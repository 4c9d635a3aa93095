#include <sys/stat.h>

#include <exception>
#include <string>

#include "vfs/shim_file.h"
#include "vfs/shim_vfs.h"

namespace backstay {
namespace {

// What changes nothing, or nothing that lasts, is left alone.
bool Lasts(int flags) {
  return (flags & (SQLITE_OPEN_READONLY | SQLITE_OPEN_MEMORY | SQLITE_OPEN_DELETEONCLOSE)) == 0;
}

// So is what cannot be read safely; that is told.
bool Excluded(Process* process, const char* zName, int flags, const UriParameters& parameters) {
  if (!Lasts(flags)) return true;
  for (const char* key : {"immutable", "nolock"}) {
    if (!IsTrue(parameters, key)) continue;
    process->Say(Repeat::kWhileItLasts, BACKSTAY_WARN, zName,
                 std::string("a connection is not replicated: it was opened with ") + key +
                     "=1, without the locks that tell when the file may be read; remedy: open "
                     "it without");
    return true;
  }
  return false;
}

void OpenedMain(Process* process, const InnerVfs& inner, const char* zName, sqlite3_file* file,
                int flags, int out) {
  UriParameters parameters;
  if ((flags & SQLITE_OPEN_URI) != 0) parameters = ReadUriParameters(zName);
  const int all = flags | (out & SQLITE_OPEN_READONLY);
  const bool selected =
      FindParameter(parameters, "replica") != nullptr || process->selection().Selects(zName);
  if (selected) process->OpenedSelected();
  if (IsShimmed(file)) return;
  if (!selected && Lasts(all)) process->OpenedUnselected(zName);
  if (!selected || Excluded(process, zName, all, parameters)) return;
  struct stat info;
  // The file that was opened, not one that has its name by now.
  if (stat(zName, &info) != 0 || HasMoved(file, file->pMethods)) return;
  Database* database =
      process->Attach({zName, std::move(parameters), {info.st_dev, info.st_ino}, inner});
  if (database == nullptr) return;
  try {
    ShimMainFile(process, database, file);
    database->CheckEngine();
  } catch (const std::exception&) {
    process->Detach(database).Wait();
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
    process->Detach(database).Wait();
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
    process->Say(Repeat::kWhileItLasts, BACKSTAY_ERROR, {},
                 "out of memory; a connection is not replicated");
  }
}

}  // namespace backstay
