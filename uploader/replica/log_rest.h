// LogRest: where a writer goes on behind all of a log that is damaged.
//
// Called by `adopt` and by engine/, one thread; requests overlap inside. All that is there is
// looked at, and what cannot be read is left out. Fails with the client's error.

#ifndef BACKSTAY_UPLOADER_REPLICA_LOG_REST_H_
#define BACKSTAY_UPLOADER_REPLICA_LOG_REST_H_

#include <cstdint>

#include "uploader/replica/catalogue.h"
#include "uploader/replica/reader.h"

namespace backstay {

struct LogRest {
  uint64_t next_number = 1;     // behind every number that is used, by whatever
  uint64_t epoch = 0;           // the highest that can be read
  uint64_t segment_number = 0;  // the highest
  uint64_t segment_hash = 0;    // of that segment; 0: not known
  uint64_t txid = 0;            // the highest
  int64_t time_ms = 0;          // of that transaction; 0: not known
};

Result<LogRest> RestOfLog(const ReplicaReader& reader, const Catalogue& catalogue);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_LOG_REST_H_
