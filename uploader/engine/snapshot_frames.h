// The frames of a snapshot: objects that are written once, and that whoever empties a bucket
// deletes like the others, also while a new snapshot is being made.
//
// Used by ReplicaLook on the ship thread and by Jobs on its own; network calls, without the Core's
// mutex: one list for each thousand frames. Fails with the client's error.

#ifndef BACKSTAY_UPLOADER_ENGINE_SNAPSHOT_FRAMES_H_
#define BACKSTAY_UPLOADER_ENGINE_SNAPSHOT_FRAMES_H_

#include <string>

#include "uploader/base/status.h"
#include "uploader/format/snapshot.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

// The key of a frame that the bucket lacks, "" if it has all of them in their sizes. A list may be
// late: what it does not show is asked for by name, and counts as missing when two requests in a
// row say so.
Result<std::string> MissingFrame(ReplicaClient* client, const SnapshotManifest& manifest);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_SNAPSHOT_FRAMES_H_
