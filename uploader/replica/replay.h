// Replay: a RestorePlan made into a database.
//
// Called by the tool and by engine/, one thread; downloads overlap on threads of the call. Every
// byte is proven: frames and segments by their hashes and the chain between them, the database by
// its checksum wherever a segment carries one and at the end. On any error the store holds
// rubbish: the caller throws it away. Fails with kCorrupt (the plan can be made again without the
// snapshot if `snapshot_damaged`), kUnavailable retryable (objects moved: read the catalogue
// again), kIo, kCancelled or the client's error. Memory: `room`, and 8 bytes per page.

#ifndef BACKSTAY_UPLOADER_REPLICA_REPLAY_H_
#define BACKSTAY_UPLOADER_REPLICA_REPLAY_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "uploader/replica/frames_ahead.h"
#include "uploader/replica/page_store.h"
#include "uploader/replica/reader.h"
#include "uploader/replica/restore_plan.h"

namespace backstay {

struct ReplayOptions {
  size_t parallelism = 8;          // requests at a time, where there is room
  uint64_t batch_bytes = 2 << 20;  // of neighbouring log objects, per request
  uint64_t room = 22 << 20;        // bytes of what is under way, or waits for its turn
  bool holds_pages = false;        // the store may: those that are right are not fetched
  // Has frames of the snapshot already, or is about to; null: nobody has.
  FramesAhead* ahead = nullptr;
  // Bytes that need not be fetched; of this replay so far. Any thread.
  std::function<void(uint64_t bytes)> found = nullptr;
};

struct ReplayResult {
  uint32_t page_size = 0;
  uint32_t pages = 0;
  uint64_t segment_number = 0;  // last segment that was applied, in whole or in part
  uint64_t segment_hash = 0;
  bool checksum_proven = false;       // against the checksum of the last whole segment
  std::vector<uint64_t> page_hashes;  // [pgno - 1]; 0 for the lock-byte page
};

// Requests that Replay() of this plan makes when nothing has to be asked for twice.
uint64_t RequestsOf(const ReplicaReader& reader, const RestorePlan& plan,
                    const ReplayOptions& options);

// `*snapshot_damaged` is set when the error is damage of the snapshot rather than of the log.
Result<ReplayResult> Replay(const ReplicaReader& reader, const RestorePlan& plan, PageStore* store,
                            const ReplayOptions& options, bool* snapshot_damaged);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_REPLAY_H_
