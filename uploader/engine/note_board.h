// NoteBoard: what application threads tell the capture thread, and what they wait for.
//
// Committed() is called inside the host's commit, with the WAL write lock held: a short mutex, and
// a wake-up only when the capture thread asked for one. Finish() and Sync() block their caller, at
// most the time given. The capture thread uses the rest. No errors: waiting too long returns false.

#ifndef BACKSTAY_UPLOADER_ENGINE_NOTE_BOARD_H_
#define BACKSTAY_UPLOADER_ENGINE_NOTE_BOARD_H_

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>

#include "uploader/base/clock.h"
#include "uploader/capture/capture.h"

namespace backstay {

class NoteBoard {
 public:
  explicit NoteBoard(Clock* clock) : clock_(clock) {}

  // Application threads.
  void Committed(const WalTarget& target);
  // The WAL was begun anew, without a frame yet, and the commits before it, which the wal-index
  // counts up to `change`, were not all noted.
  void BeganAnew(uint32_t change);
  // That, since the last one that was noted.
  std::optional<uint32_t> began_anew();
  // A transaction in a rollback-journal mode waits for the capture thread; `far`: many pages do.
  void Handed(bool far);
  // The database left WAL mode, here or in another program.
  void LeaveWal();
  // Waits for a capture pass that began after the call and caught up. True too when the board is
  // inactive. `commit_waits`: a commit of the application waits for it.
  bool Finish(int64_t timeout_ms, bool commit_waits = false);
  // Waits until all that such a pass found is shipped; `impatient`: or until Trouble().
  bool Sync(int64_t timeout_ms, bool impatient = false);

  // What was noted and not taken; wall clock, ms, 0: nothing. Any thread.
  struct Noted {
    int64_t first_ms = 0;
    int64_t last_ms = 0;
    uint64_t count = 0;  // at least; of commits
  };
  Noted NotTaken();
  // What every Sync() so far has waited for, in vain or not, is shipped.
  bool AllShipped();

  // The WAL was truncated or deleted; the database file had this stamp then.
  void WalGone(const FileStamp& stamp);
  // What changed the stamp of the file was a mark of ours.
  void Marked(const FileStamp& before, const FileStamp& after);
  // The host opened the database (again).
  void Opened();

  // What other processes wait for (Neighbours). The same as Sync() and Finish() without the
  // waiting: `number` is given to the function of Serve() once that is reached. Only a pass that
  // knew what others have committed counts.
  struct Answers {
    uint64_t sync = 0;    // the largest number of a SyncFor() that is reached
    uint64_t finish = 0;  // likewise FinishFor()
    bool active = true;   // false: nothing will be reached any more
  };
  // `answer` is called with the board's mutex held, and must neither block nor call the board.
  void Serve(std::function<void(const Answers&)> answer);
  // `waits` calls wait, for `patience_ms` from now on.
  void SyncFor(uint64_t number, uint64_t waits, int64_t patience_ms);
  void FinishFor(uint64_t number);
  // Another process has committed.
  void Nudge();

  // Capture thread. What it should do now.
  struct Work {
    bool stop = false;
    uint64_t ticket = 0;          // passes asked for so far
    bool urgent = false;          // somebody waits
    bool commits = false;         // commits were noted since the last work
    int64_t first_commit_ms = 0;  // monotonic, of the oldest of them
  };
  // Waits until `until_ms` (monotonic), for Stop() or Poke(), for a ticket after `seen_ticket`,
  // with `wake_on_commit` for a commit, and for one that lies `frames` frames ahead of `encoded`,
  // or that far into another WAL.
  Work Wait(int64_t until_ms, uint64_t seen_ticket, bool wake_on_commit, const WalMark& encoded,
            uint32_t frames);
  // The same without waiting. Nothing: there is none; then `wake` of WakeBy() is called once there
  // is.
  std::optional<Work> Take(uint64_t seen_ticket, bool wake_on_commit, const WalMark& encoded,
                           uint32_t frames);
  // What there is, if anything.
  Work Now();
  // Before anything else. `wake` is called with the board's mutex held.
  void WakeBy(std::function<void()> wake) { wake_ = std::move(wake); }
  // The commits noted so far are being taken care of. The time of the first one, 0: none was.
  int64_t TakeCommits();
  std::optional<WalTarget> Latest();
  // The last one noted in the WAL before that of Latest(): its frames are there until finish_wal()
  // returns.
  std::optional<WalTarget> Before();
  struct Gone {
    FileStamp stamp;
    std::optional<WalTarget> last;  // noted in the WAL that is gone
    std::optional<uint32_t> began_anew;
    bool opened_since = false;
  };
  // The last WalGone(), once.
  std::optional<Gone> TakeGone();
  // The pass for these tickets caught up and its last segment has this number. `with_others`: also
  // with what other processes had committed.
  void Done(uint64_t ticket, uint64_t segment_number, bool with_others);
  // Likewise for Finish() only: what the WAL held is safe to lose.
  void DoneFinish(uint64_t ticket);
  void Poke();  // wake the capture thread: something else changed
  // ms, 0 if not known.
  int64_t CommitTime(uint32_t salt1, uint32_t frame);

  // Ship thread: everything up to here is in the bucket, and it can be restored.
  void Shipped(uint64_t segment_number, bool restorable);
  // A try to ship has failed.
  void Trouble();
  // Segments that were encoded will not be shipped; their pages will, in others, after a repair.
  void Dropped();
  // True while a Sync() waits: shipping should not hold back.
  bool SyncWaits();
  // True while a Finish() with commit_waits waits.
  bool CommitWaits();
  // What is captured now goes out.
  void Sending();
  // As many Sync() calls as were answered by the last Shipped() have come since, and what they wait
  // for is captured.
  bool Regrouped();

  // Nothing will be captured any more: waiters return (Finish: true, Sync: false).
  void Deactivate();
  void Stop();

 private:
  struct Commit {
    uint32_t salt1 = 0;
    uint32_t frame = 0;
    int64_t time_ms = 0;
  };

  // Something that another process waits for.
  struct Remote {
    uint64_t number = 0;
    uint64_t ticket = 0;
    uint64_t segment = 0;
    bool captured = false;
  };
  // In the order in which they came; bounded, so that an outage and neighbours that come and go
  // need no memory: beyond that the last two become one.
  struct Remotes {
    std::array<Remote, 16> all;
    size_t count = 0;

    void Add(uint64_t number, uint64_t ticket);
  };

  // A Sync() that waits, on its own stack.
  struct Waiter {
    uint64_t ticket = 0;
    uint64_t segment = 0;
    bool captured = false;
    Waiter* next = nullptr;
  };

  void CaptureLocked(Waiter* waiter) const;
  bool ReachedLocked(const Waiter& waiter) const;
  bool AnyReachedLocked() const;
  void NoteLocked(bool far, bool counts = true);
  bool IsFar(const WalTarget& target) const;
  void SettleLocked();
  void WakeLocked();
  void ArmLocked(bool wake_on_commit, const WalMark& encoded, uint32_t frames);
  bool IsWokenLocked(uint64_t seen_ticket, bool wake_on_commit) const;
  Work NowLocked();

  Clock* const clock_;
  std::function<void()> wake_ = [] {};
  std::mutex mutex_;
  std::condition_variable work_;  // waited on in Wait()
  std::condition_variable done_;  // waited on by application threads
  // All guarded by mutex_.
  std::optional<WalTarget> latest_;
  std::optional<WalTarget> before_;
  std::optional<uint32_t> began_anew_;
  std::array<Commit, 1024> commits_{};
  size_t next_commit_ = 0;
  bool noted_ = false;
  int64_t first_commit_ms_ = 0;
  Noted not_taken_;
  bool wake_on_commit_ = false;
  bool wake_on_distance_ = false;
  WalMark encoded_;
  uint32_t wake_frames_ = 0;
  bool poked_ = false;
  uint64_t asked_ = 0;
  uint64_t done_ticket_ = 0;
  uint64_t finish_ticket_ = 0;
  std::optional<Gone> gone_;
  FileStamp before_mark_;
  FileStamp after_mark_;
  uint64_t done_segment_ = 0;
  uint64_t shipped_segment_ = 0;
  uint64_t drops_ = 0;
  uint64_t troubles_ = 0;
  bool restorable_ = false;
  Waiter* waiters_ = nullptr;
  uint32_t syncs_ = 0;            // how many
  uint32_t finishes_ = 0;         // Finish() calls that wait
  uint32_t waiting_commits_ = 0;  // those of them on which a commit waits
  uint64_t arrivals_ = 0;         // Sync() calls ever
  uint64_t sent_arrivals_ = 0;    // at the last Sending()
  uint64_t group_ = 0;            // between the last two of these
  uint64_t regrouped_at_ = 0;     // arrivals_ when the group that was answered is back
  uint64_t others_ticket_ = 0;    // like done_ticket_, of passes that knew of others' commits
  std::function<void(const Answers&)> answer_;
  Answers answers_;
  Remotes remote_syncs_;
  Remotes remote_finishes_;
  uint64_t remote_drops_ = 0;    // drops_ that remote_syncs_ know of
  int64_t remote_until_ms_ = 0;  // monotonic; until then their waits are worth a hurry
  bool active_ = true;
  bool stop_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_NOTE_BOARD_H_
