// On which file system a replica in a folder was when it was last seen: the file `place` of the
// state folder. An empty folder on another one is what is left of a mount point, and no replica
// that somebody has emptied.
//
// Called by engine/ (ship thread), by restore and adopt. Without the file nothing is known. `mark`
// is ReplicaClient::PlaceMark(); an empty one is of no place, and is not written.

#ifndef BACKSTAY_UPLOADER_STATE_REPLICA_PLACE_H_
#define BACKSTAY_UPLOADER_STATE_REPLICA_PLACE_H_

#include <string>

#include "uploader/base/status.h"

namespace backstay {

// Written when it says something else.
Status NotePlace(const std::string& folder, const std::string& replica, const std::string& mark);
// This replica was seen, on another file system.
bool IsOtherPlace(const std::string& folder, const std::string& replica, const std::string& mark);
void ForgetPlace(const std::string& folder);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_REPLICA_PLACE_H_
