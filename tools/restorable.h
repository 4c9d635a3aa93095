// Whether a replica holds anything to restore: tells one that does not exist from one that cannot
// be read, and both from one without a snapshot.
//
// Main thread. kNotFound: it does not exist, or its first snapshot was never finished; kCorrupt:
// the log is there, but no snapshot; else the reader's error.

#ifndef BACKSTAY_TOOLS_RESTORABLE_H_
#define BACKSTAY_TOOLS_RESTORABLE_H_

#include <cstddef>

#include "uploader/replica/catalogue.h"
#include "uploader/replica/reader.h"

namespace backstay {

// Of one that was loaded already.
Status CheckRestorable(const ReplicaReader& reader, const Catalogue& catalogue);
// `parallelism`: requests at a time.
Result<Catalogue> LoadRestorable(const ReplicaReader& reader, size_t parallelism);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_RESTORABLE_H_
