// SQLite's own check of a database file that nobody has open.
//
// Opens it immutable: no lock, no -wal, no -shm is made. Main thread. kCorrupt with the first
// findings; kIo when the check could not be run (a collation of the application, for one).

#ifndef BACKSTAY_TOOLS_INTEGRITY_H_
#define BACKSTAY_TOOLS_INTEGRITY_H_

#include <string>

#include "uploader/base/status.h"

namespace backstay {

enum class IntegrityCheck { kNone, kQuick, kFull };

Status CheckIntegrity(const std::string& path, IntegrityCheck check);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_INTEGRITY_H_
