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
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "uploader/engine/backoff.h"
#include "uploader/engine/core.h"
#include "uploader/format/snapshot.h"

namespace backstay {

class Jobs {
 public:
  explicit Jobs(Core* core) : core_(core), backoff_(core->options.random) {}
  ~Jobs() { Stop(); }

  // Starts the job that is due, if any and none is running.
  void StartDue();
  // That job is a snapshot or a pack: the caller looks at the replica first.
  bool BuildDue();
  bool running() const { return running_.load(); }
  bool over() const { return thread_.over(); }
  // Waits for a running job; its network calls must have been cancelled.
  void Stop();

 private:
  enum class Job { kNone, kSnapshot, kPack, kPrune };
  static const char* NameOf(Job job);
  Job Due();
  bool Free();
  void Run(Job job);
  void Ended(Job job, const Status& done);

  // Snapshot (snapshotter.cc).
  struct Copy {
    uint64_t run = 0;
    uint64_t number = 0;  // next log number at the start
    uint64_t nonce = 0;
    LogHead start;
    uint64_t epoch = 0;
    uint64_t base = 0;
    uint32_t pages = 0;
    uint32_t page_size = 0;
    uint64_t log_bytes = 0;
    uint64_t bytes = 0;  // of all frames
    uint64_t frames_checksum = 0;
    std::vector<uint64_t> frame_bytes;
  };
  Status Snapshot();
  Status BeginCopy(Copy* copy);
  Status CopyFrame(Copy* copy, uint32_t frame);
  Status SettleCopy(const Copy& copy);
  Status CatchUp(const Copy& copy, std::unique_lock<std::mutex>* lock);
  Status FindEnd(const Copy& copy, std::unique_lock<std::mutex>* lock);
  Status FinishCopy(Copy* copy, LogHead* end);
  // kFenced, and the pipeline stops: another writer has taken the log over meanwhile.
  Status StillOwn();
  // kCorrupt: the frames are not.
  Status StillThere(const SnapshotManifest& manifest);
  Status WriteManifest(const Copy& copy, const LogHead& end);

  // Pack (packer.cc).
  Status Pack();
  Status LearnPacks(uint64_t first);
  // kUnavailable until the store lists this pack.
  Status Listed(uint64_t first, uint64_t last);

  // Retention (pruner.cc).
  Status Prune();
  Status CheckOwn(const Identity& found);
  bool PruneDue() const;
  void ReplicaGrew(std::optional<int64_t> base_time_ms);

  // Calls `attempt` until it succeeds, fails for good, or the pipeline stops.
  Status Persist(const std::function<Status()>& attempt);
  void Waits(const Status& why);
  // Before the next job is looked for; longer with each one in a row.
  void Pause();
  bool Stopping();

  Core* const core_;
  Backoff backoff_;
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
