// Follower: keeps a copy at the end of its replica's log.
//
// Main thread of the command, until it is stopped. Asks for the next object of the log by its
// number, one small request at a time, less often the longer nothing comes; lists only at the
// start, and rarely while nothing comes: by then what is new may have been packed. What cannot be
// applied (another page size, damage, a log that retention has taken) is restored anew, into the
// same file, once the replica gives more than the copy has. Run() ends with kCancelled when it was
// stopped, and with what cannot heal: the copy is not its own any more (kExists), nor the replica
// that of its database (kForeign), or it is of a later version (kNewer). Anything else is told and
// tried again.

#ifndef BACKSTAY_TOOLS_FOLLOWER_H_
#define BACKSTAY_TOOLS_FOLLOWER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "tools/copy_file.h"
#include "tools/follow_file.h"
#include "tools/follow_state.h"
#include "uploader/base/log.h"
#include "uploader/replica/reader.h"
#include "uploader/replica/segment_apply.h"

namespace backstay {

class Follower {
 public:
  struct Options {
    std::string copy;            // path
    FollowFile* file = nullptr;  // the copy's, which outlives the follower
    int64_t interval_ms = 1000;
    size_t parallelism = 64;
    bool looks_are_free = false;  // of the replica's client
    // False: it is time to end. Waits so long at most.
    std::function<bool(int64_t ms)> wait;
    std::function<void(Level level, const std::string& text)> say;
    std::function<void(const std::string& text)> recovered;
  };
  Follower(const ReplicaReader& reader, Options options)
      : reader_(reader), options_(std::move(options)) {}

  // Makes a restored file, which has no name yet, the beginning of a copy with this state.
  static Result<FollowState> Begin(const Fd& file, const RestoreOutcome& outcome,
                                   const std::string& replica);
  Status Run();

 private:
  // Beside the next object of the log: what is listed.
  enum class Look { kNext, kPacks, kAll };

  // All that there is to do at present. True when there was something new.
  Result<bool> Step(Look look);
  Status Open();
  // What waits is dropped: the copy as it was committed last.
  Status Load();
  Status Adopt(const FollowPoint& point, const std::vector<uint64_t>& hashes);
  Result<std::vector<uint64_t>> HashPages(uint32_t page_size);
  // kCorrupt where the log does not lead on.
  Result<bool> Poll(Look look);
  Result<LogPlan> PlanNext(Look look) const;
  Result<LogPlan> PlanAll();
  // That the replica is still there.
  Status FindReplica() const;
  Status CheckIdentity(const Identity& identity) const;
  Status Apply(const LogEntry& entry, const LogObject& object);
  Result<bool> ApplyLog(const LogPlan& plan);
  // Returns `why` where that would not lead on either.
  Status Rebuild(const Status& why);
  Status CopyFrom(PageStore* restored, const ReplayResult& result);
  // What was applied, up to this point.
  Status Commit(const FollowPoint& point);
  Status CommitWaiting();

  const ReplicaReader& reader_;
  const Options options_;
  FollowState state_;
  std::unique_ptr<CopyFile> copy_;    // empty: not opened yet
  std::optional<Identity> identity_;  // once all was looked at
  RestorePlan plan_;                  // what is applied to the copy, without an end
  std::optional<DatabaseImage> image_;
  std::optional<SegmentApply> apply_;  // empty: to be loaded
  LogStart next_;
  std::optional<FollowPoint> waiting_;  // for its commit; nothing more is applied before
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_FOLLOWER_H_
