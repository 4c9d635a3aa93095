// RestoreFile: one replica made into one database file, proven, whole or not at all.
//
// Called by `restore` and by whoever needs a database to look at (`copy`), on the main thread;
// reads on threads of its own. Until it returns Ok the file is as it was. Errors: those of
// RestoreInto(), TargetFile and CheckIntegrity(). Where the error is this machine's (`*local`), no
// other replica helps.

#ifndef BACKSTAY_TOOLS_RESTORE_FILE_H_
#define BACKSTAY_TOOLS_RESTORE_FILE_H_

#include <cstddef>
#include <functional>
#include <string>

#include "tools/integrity.h"
#include "tools/target_file.h"
#include "uploader/replica/restore.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

struct FileRestore {
  std::string output;        // path of the database
  TargetFile::Options file;  // how it is made
  RestoreOptions restore;
  IntegrityCheck integrity = IntegrityCheck::kNone;
  RetryOptions retry;
  size_t number = 0;  // of the replica among those of the database, from 0
  // A database to look at: without the state folder from which a writer goes on with the replica.
  // Opened with Backstay and that replica it is refused as any copy is.
  bool copy = false;
  // The last word on the finished file, before it gets its name.
  std::function<Status(const Fd& file, const RestoreOutcome& outcome)> finish = nullptr;
  // Makes what stands beside it, when that of an earlier file is gone.
  std::function<Status()> beside = nullptr;
};

Result<RestoreOutcome> RestoreFile(ReplicaClient* client, const FileRestore& restore, bool* local);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_RESTORE_FILE_H_
