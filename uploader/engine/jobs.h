// Jobs: snapshots, packs and retention, on a thread that exists only while one is being made.
//
// Owned by Pipeline; StartDue() and Stop() on the ship thread and the thread that ends the
// pipeline. A job that fails is logged and tried again when it is due the next time; so is, at
// once, a request that may succeed later. Shipping never waits for a job. Network calls without the
// Core's mutex.

#ifndef BACKSTAY_UPLOADER_ENGINE_JOBS_H_
#define BACKSTAY_UPLOADER_ENGINE_JOBS_H_

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "uploader/engine/core.h"
#include "uploader/engine/packer.h"
#include "uploader/format/snapshot.h"
#include "uploader/state/begun_snapshot.h"
#include "uploader/storage/retry_policy.h"

namespace backstay {

class Jobs {
 public:
  explicit Jobs(Core* core)
      : core_(core),
        retry_({}, core->options.random),
        packer_(core, [this](const std::function<Status()>& attempt) { return Persist(attempt); }) {
  }
  ~Jobs() { Stop(); }

  // Starts the job that is due, if any and none is running.
  void StartDue();
  // That job is a snapshot: the caller looks at the replica first.
  bool SnapshotDue();
  bool running() const { return running_.load(); }
  bool over() const { return thread_.over(); }
  // A part of a snapshot is on its way: the next process goes on behind it.
  bool sends_frame() const { return sends_frame_.load(); }
  // Waits for a running job; its network calls must have been cancelled.
  void Stop();

 private:
  enum class Job { kNone, kSnapshot, kPack, kPrune };
  static const char* NameOf(Job job);
  Job Due();
  bool SnapshotDueLocked() const;
  bool Free();
  void Run(Job job);
  void Ended(Job job, const Status& done);

  // Snapshot (snapshotter.cc).
  struct Copy {
    uint64_t run = 0;
    BegunSnapshot begun;
    // Frames in the bucket, of which the next process cannot know yet: the number of transactions
    // that had begun when its pages were read, and the frame.
    std::deque<std::pair<uint64_t, BegunSnapshot::Frame>> unsettled;
  };
  Status Snapshot();
  Status BeginCopy(Copy* copy);
  BegunSnapshot NewCopyLocked();
  Status CopyFrames(Copy* copy);
  Status CopyFrame(Copy* copy, uint32_t frame);
  Status KeepFrames(Copy* copy);
  Status SettleCopy(const Copy& copy);
  Status CatchUp(const Copy& copy, std::unique_lock<std::mutex>* lock);
  Status FindEnd(const Copy& copy, std::unique_lock<std::mutex>* lock);
  Status FinishCopy(Copy* copy, LogHead* end);
  // kFenced, and the pipeline stops: another writer has taken the log over meanwhile.
  Status StillOwn();
  // kCorrupt: the frames are not.
  Status StillThere(const SnapshotManifest& manifest);
  SnapshotManifest ManifestOf(const BegunSnapshot& begun, const LogHead& end) const;
  Status WriteManifest(const Copy& copy, const LogHead& end);

  Status Pack();

  // Retention (pruner.cc).
  Status Prune();
  bool PruneDue() const;
  void ReplicaGrew(std::optional<int64_t> base_time_ms);

  // Calls `attempt` until it succeeds, fails for good, or the pipeline stops.
  Status Persist(const std::function<Status()>& attempt);
  void Waits(const Status& why);
  // Until the replica is to be asked again; false: replication ends.
  bool Rest(int64_t asked_ms);
  // Before the next job is looked for; longer with each one in a row.
  void Pause();
  bool Stopping();

  Core* const core_;
  RetryPolicy retry_;
  Packer packer_;
  std::atomic<bool> sends_frame_{false};
  Thread thread_;
  std::atomic<bool> running_{false};
  std::atomic<int64_t> not_before_ms_{0};  // monotonic
  std::atomic<int64_t> pause_ms_{0};       // the last one
  std::atomic<bool> blind_{false};         // it is until the committed end can be seen again
  // Wall clock; at first it is not known whether anything is old enough.
  std::atomic<int64_t> prune_at_ms_{std::numeric_limits<int64_t>::max()};
  bool prune_known_ = false;           // job thread
  LastingProblem* problem_ = nullptr;  // of the running job; job thread
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_JOBS_H_
