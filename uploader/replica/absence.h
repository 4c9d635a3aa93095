// Absence: whether there is nothing, proven. That a list shows nothing proves nothing: it may be
// late, lack what was deleted, or be that of another place.
//
// Called by the tool and by engine/ before a database begins without its replica; one thread. Reads
// only. Fails with the client's error when anything could not be read.

#ifndef BACKSTAY_UPLOADER_REPLICA_ABSENCE_H_
#define BACKSTAY_UPLOADER_REPLICA_ABSENCE_H_

#include <string>

#include "uploader/base/status.h"
#include "uploader/replica/catalogue.h"
#include "uploader/replica/reader.h"

namespace backstay {

// What is at a prefix where a GET did not find backstay.json.
struct WithoutIdentity {
  enum Found {
    kNothing,  // no object at all, by the list and by the names that a replica begins with
    kRemains,  // objects of a replica
    kForeign,  // other objects alone
  };
  Found found = kNothing;
  std::string key;  // one of the objects
};
Result<WithoutIdentity> LookWithoutIdentity(const ReplicaReader& reader);

// Of a replica: true when its first snapshot was never finished, so that nothing was ever to be
// restored from it. False when there are snapshots, or when there were some: the log has lost its
// beginning, or it holds transactions though no part of a snapshot is there.
Result<bool> FirstSnapshotUnfinished(const ReplicaReader& reader, const Catalogue& catalogue);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_ABSENCE_H_
