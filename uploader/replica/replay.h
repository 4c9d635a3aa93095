// Replay: a RestorePlan made into a database.
//
// Called by the tool and by engine/, one thread; downloads overlap on threads of the call. Every
// byte is proven: frames and segments by their hashes and the chain between them, the database by
// its checksum wherever a segment carries one and at the end. On any error the store holds
// rubbish: the caller throws it away. Fails with kCorrupt (the plan can be made again without the
// snapshot if `snapshot_damaged`), kUnavailable retryable (objects moved: read the catalogue
// again), kIo, kCancelled or the client's error. Memory: about `parallelism` frames of 4 MiB or
// batches of `batch_bytes`, and 8 bytes per page.

#ifndef BACKSTAY_UPLOADER_REPLICA_REPLAY_H_
#define BACKSTAY_UPLOADER_REPLICA_REPLAY_H_

#include <cstdint>
#include <vector>

#include "uploader/replica/page_store.h"
#include "uploader/replica/reader.h"
#include "uploader/replica/restore_plan.h"

namespace backstay {

struct ReplayOptions {
  size_t parallelism = 8;          // requests at a time
  uint64_t batch_bytes = 8 << 20;  // of neighbouring log objects, per request
};

struct ReplayResult {
  uint32_t page_size = 0;
  uint32_t pages = 0;
  uint64_t segment_number = 0;  // last segment that was applied, in whole or in part
  uint64_t segment_hash = 0;
  bool checksum_proven = false;       // against the checksum of the last whole segment
  std::vector<uint64_t> page_hashes;  // [pgno - 1]; 0 for the lock-byte page
};

// `*snapshot_damaged` is set when the error is damage of the snapshot rather than of the log.
Result<ReplayResult> Replay(const ReplicaReader& reader, const RestorePlan& plan, PageStore* store,
                            const ReplayOptions& options, bool* snapshot_damaged);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_REPLAY_H_
