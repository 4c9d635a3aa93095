// SQLite's own checks of a database file that nobody has open.
//
// Opens it immutable: no lock, no -wal, no -shm is made. Main thread; `stop` is asked now and then,
// and ends a check with kCancelled. kCorrupt with the first findings; kIo when a check could not be
// run (a collation of the application, for one).

#ifndef BACKSTAY_TOOLS_INTEGRITY_H_
#define BACKSTAY_TOOLS_INTEGRITY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "uploader/base/status.h"

namespace backstay {

enum class IntegrityCheck { kNone, kQuick, kFull };
using StopCheck = std::function<bool()>;

// As users write them.
std::vector<std::string> IntegrityCheckNames();
// REQUIRES: it is one of them.
IntegrityCheck IntegrityCheckNamed(const std::string& name);

// For SQLite: of a file that nobody writes to. No lock is taken, no file is made beside it.
std::string ImmutableUri(const std::string& path);

Status CheckIntegrity(const std::string& path, IntegrityCheck check, const StopCheck& stop = {});

// Rows that refer to a row that is not there.
struct ForeignKeys {
  uint64_t violations = 0;
  std::vector<std::string> first;  // a few of them, for people
};
Result<ForeignKeys> CheckForeignKeys(const std::string& path, const StopCheck& stop = {});

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_INTEGRITY_H_
