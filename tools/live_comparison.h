// LiveComparison: whether a replica holds what the live database holds, at the same transaction.
//
// Main thread. Takes a copy of the live database, and compares it with the replica's state of that
// time: with the one that was restored already, else with others, as soon as the replica has them.
// Bounded: `wait_ms` for the replica to get there, three copies where a transaction may have
// fallen between. Errors: what differs is kUnavailable, with the remedy; else those of what it
// uses.

#ifndef BACKSTAY_TOOLS_LIVE_COMPARISON_H_
#define BACKSTAY_TOOLS_LIVE_COMPARISON_H_

#include <functional>
#include <string>

#include "tools/live_copy.h"
#include "tools/scratch_folder.h"
#include "uploader/replica/restore.h"

namespace backstay {

class LiveComparison {
 public:
  // Restores a state of the replica into the file that Verification has restored into.
  using Restore = std::function<Result<RestoreOutcome>(const RestoreTarget& target)>;

  LiveComparison(const ReplicaReader& reader, std::string database, const ScratchFolder& scratch,
                 int64_t wait_ms, StopCheck stop, Restore restore)
      : reader_(reader),
        database_(std::move(database)),
        scratch_(scratch),
        wait_ms_(wait_ms),
        stop_(std::move(stop)),
        restore_(std::move(restore)) {}

  // `restored`: what `path` holds. Ok: it is equal, in transaction *txid.
  Status Run(const std::string& path, const RestoreOutcome& restored, uint64_t* txid);

 private:
  // Ok with *equal, or without when another copy may do.
  Status Once(const std::string& path, bool* equal);
  Status Against(const std::string& path, const LiveCopy& live, bool* equal, bool* passed);
  bool Pause();

  const ReplicaReader& reader_;
  const std::string database_;
  const ScratchFolder& scratch_;
  const int64_t wait_ms_;
  const StopCheck stop_;
  const Restore restore_;
  uint64_t txid_ = 0;  // that `path` holds
  uint32_t page_size_ = 0;
  PageDifferences differences_;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_LIVE_COMPARISON_H_
