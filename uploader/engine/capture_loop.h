// CaptureLoop: the capture task of one pipeline. Decides when to encode, skip, repair and save.
//
// Owned by Pipeline, which has Step() called by the process's Workers, one thread at a time (the
// capture thread, in what follows), and ends it through the NoteBoard. Encoding is
// put off while it would not speed anything up (a PUT under way, the minimum interval), but never
// beyond a frame's worth of pages, one second, or the destruction of the WAL. Errors end in a
// repair, in the log and in the status, never in the host.

#ifndef BACKSTAY_UPLOADER_ENGINE_CAPTURE_LOOP_H_
#define BACKSTAY_UPLOADER_ENGINE_CAPTURE_LOOP_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "uploader/capture/wal_end.h"
#include "uploader/engine/core.h"
#include "uploader/engine/crowd.h"
#include "uploader/engine/outbox_room.h"
#include "uploader/state/state_folder.h"

namespace backstay {

class CaptureLoop {
 public:
  // On the capture thread, without the mutex: `tick` is called after every pass, `takes_long` when
  // one goes on for a while.
  CaptureLoop(Core* core, std::function<void()> tick, std::function<void()> takes_long)
      : core_(core),
        tick_(std::move(tick)),
        takes_long_(std::move(takes_long)),
        room_(core->options.settings.outbox_limit),
        slow_(core->options.logger, core->options.clock, Level::kWarn),
        crowd_(core->options),
        wal_end_(core->options.settings.path) {
    core_->end_if_removed = [this] { EndIfRemovedLocked(); };
    core->copy.AskLock([this] { return HoldsLock(); });
  }

  // The stamp of the database file when the host opened it. Any thread.
  void HostOpened(const FileStamp& stamp);
  // Does what is due. When the next is, monotonic ms, unless the board wakes it before; nothing: it
  // has ended.
  std::optional<int64_t> Step();
  // Lets go of the database if a descriptor that counts is not ours any more. For an application's
  // thread, which waits 20 ms at most: a thread of ours that has the mutex for longer works.
  void EndIfLost();
  // This process is the one that ships, nobody has taken the lock's descriptor away, nor the folder
  // that the lock is in: what is in the state folder is its own. With the core's mutex held, on the
  // capture thread, or behind the last Step().
  bool HoldsLock() const { return lock_ && lock_->Holds() && lock_->IsIn(core_->options.folder); }
  // Behind the last Step(), for good.
  void Unlock() { lock_.reset(); }

 private:
  void EndIfLostLocked();
  void EndIfRemovedLocked();
  // When to go on, monotonic ms; nothing: never.
  using Next = std::optional<int64_t>;
  static constexpr int64_t kNow = 0;
  // What a process that does not ship has found so far.
  struct Candidate {
    bool tries = false;  // it is known where the database stands
    bool waits = false;  // it has tried in vain
    bool told = false;
    bool dropped = false;        // what is handed over
    int orphaned = 0;            // tries in a row since the one that shipped has left
    int64_t other_since_ms = 0;  // it ships another file; monotonic
    uint64_t seen = 0;           // ticket, before it tries
  };
  Next AwaitTarget();
  Next TakeLock();
  void LeadLocked(FolderLock lock);
  void LetLead(const Status& why);
  bool Heard(const NoteBoard::Work& work);
  void SayOther(int64_t* since_ms);
  Next WaitForWork(NoteBoard::Work* work);
  bool ManyWait(bool encodes, bool retrying);
  int64_t NextPoll() const;
  int64_t DueAtMs() const;
  void Pass(const NoteBoard::Work& work);
  void EndIfReplacedLocked();
  void AwayLocked();
  bool PageSizeHoldsLocked();
  void PassLocked(uint64_t ticket, std::unique_lock<std::mutex>* lock);
  std::optional<WalTarget> Fresh();
  std::optional<WalTarget> Found();
  bool LeaveWalLocked();
  bool FollowTrailLocked(const WalTarget& to);
  bool Settles(const WalTarget& to) const;
  // The same, or the database file without a WAL.
  std::optional<WalTarget> Target();
  // The committed end, last, and before it what was noted in other WALs.
  std::vector<WalTarget> FreshTargets();
  bool OpenLocked(const WalTarget& to);
  uint32_t PageSize(const WalTarget& to);
  bool LoadLocked(uint32_t page_size, std::optional<IndexFile> known);
  void BeginBaseLocked(uint32_t page_size);
  void SaveBaseLocked();
  bool PageSizeChangesLocked();
  // The file that is there now is not the one whose replica `id` is.
  bool IsReplaced(const DatabaseId& id) const;
  Result<std::optional<IndexFile>> ReadIndexLocked(uint32_t page_size);
  bool AssembleLocked(uint32_t page_size, IndexFile* file);
  bool TakeUpCopyLocked();
  std::vector<bool> HeldLocked(const BegunSnapshot& left) const;
  void KnowCopiedLocked(const BegunSnapshot& left);
  bool IsMovedLocked();
  void LeaveStateLocked(uint32_t page_size);
  void OpenOutboxLocked(bool again, bool apply);
  void ApplyRedoLocked(const EncodedSegment& encoded);
  bool KnowsLocked(const LogHead& head) const;
  bool OutboxIsWholeLocked() const;
  void MakeCaptureLocked(uint32_t page_size);
  void RelocateLocked(const WalTarget& to);
  void WalGoneLocked(const NoteBoard::Gone& gone);
  bool Ended();
  void LeaveState();
  bool LacksSettledStamp();
  void SettleStampLocked();
  void AdvanceAllLocked(const WalTarget& to);
  void AdvanceLocked(const WalTarget& to);
  bool IsHurriedLocked();
  void NeedUnknownLocked();
  void SayBareLocked();
  void DrainLocked(const std::optional<WalTarget>& to);
  void EncodeLocked(const std::vector<TransactionPtr>& transactions);
  void SkipLocked(const Transaction& transaction);
  void MissedLocked(const char* cause = kByOthers);
  bool HasOtherPageSize(const Handover::Batch& batch) const;
  bool IsOther(uint32_t page_size) const;
  void ReadAnewLocked();
  void DrainBaseLocked(const Handover::Batch& batch);
  Status RepairByLocked(bool all, std::unique_lock<std::mutex>* lock);
  FileFollower Follower(std::unique_lock<std::mutex>* lock);
  Result<FileFollower::Changes> TakeChanges();
  bool RepairLocked(std::unique_lock<std::mutex>* lock);
  bool YieldRepair(std::unique_lock<std::mutex>* lock, bool waiting);
  bool HasRoomLocked() const;
  void DropWaitingLocked();
  void CrowdedLocked();
  void AfterLocked(uint64_t ticket, bool whole);
  void SaveIfDueLocked();
  void Failed(const Status& status);

  static constexpr int64_t kRetryMs = 5;    // the WAL, or the file, is just being changed
  static constexpr int64_t kRoomMs = 50;    // until there is room in the outbox, perhaps
  static constexpr int64_t kPollMs = 1000;  // for commits that no hook reported
  static constexpr int64_t kLocalRetryMs = 1000;
  static constexpr int kMaxStaleTries = 50;
  static constexpr const char* kByOthers = "another program wrote or checkpointed";
  static constexpr const char* kTooLate = "the WAL began anew before all of it had been read";
  static constexpr int kTriesBeforeKeeping = 3;  // of a repair, between two transactions

  Core* const core_;
  const std::function<void()> tick_;
  const std::function<void()> takes_long_;
  Candidate candidate_;
  OutboxRoom room_;
  LastingProblem slow_;  // the replica takes less than is committed, or nothing
  Crowd crowd_;
  WalEnd wal_end_;
  uint64_t seen_ticket_ = 0;
  bool pending_ = false;  // commits were noted that are not encoded
  int64_t first_commit_ms_ = 0;
  int64_t retry_at_ms_ = 0;  // monotonic; 0: nothing to retry
  int64_t poll_at_ms_ = 0;   // monotonic; for what no hook reports
  int64_t save_at_ms_ = 0;   // monotonic; the next try to save what could not be saved
  int stale_tries_ = 0;
  bool guessed_ = false;  // the pass saw no more than what this process has committed itself
  bool loaded_ = false;   // index and outbox were read in this process
  // What the outbox adds to the index: can be followed; leads to the checksum that it names.
  struct Redo {
    bool trusted = true;
    bool exact = true;
    bool read = true;  // to its end
  };
  Redo redo_;
  bool told_bare_ = false;                 // SayBareLocked(), once
  std::optional<int64_t> missed_said_ms_;  // monotonic; MissedLocked() warned
  bool unread_ = false;                    // the last WAL went before all of it was encoded
  uint64_t repair_run_ = 0;                // the generation when the repair began
  std::optional<FolderLock> lock_;         // written under core_->mutex
  FileStamp open_stamp_;                   // guarded by core_->mutex
  bool relocate_ = false;  // guarded by core_->mutex: the host opened the database again
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_CAPTURE_LOOP_H_
