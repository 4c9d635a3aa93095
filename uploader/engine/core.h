// Core: what the threads of one pipeline share, and the few operations on it that must be whole.
//
// Owned by Pipeline. Everything marked "guarded" is used only with `mutex` held; network calls are
// made without it. Methods named …Locked expect the caller to hold it. Failures to save local state
// are logged and survived.

#ifndef BACKSTAY_UPLOADER_ENGINE_CORE_H_
#define BACKSTAY_UPLOADER_ENGINE_CORE_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "uploader/base/clock.h"
#include "uploader/base/log.h"
#include "uploader/capture/capture.h"
#include "uploader/engine/handover.h"
#include "uploader/engine/host.h"
#include "uploader/engine/lag.h"
#include "uploader/engine/life.h"
#include "uploader/engine/look_book.h"
#include "uploader/engine/neighbours.h"
#include "uploader/engine/note_board.h"
#include "uploader/engine/request_budget.h"
#include "uploader/engine/snapshot_copy.h"
#include "uploader/settings/settings.h"
#include "uploader/state/database_origin.h"
#include "uploader/state/index_file.h"
#include "uploader/state/outbox.h"
#include "uploader/state/page_index.h"
#include "uploader/state/shipped_log.h"
#include "uploader/state/state_folder.h"
#include "uploader/state/trail.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

struct CoreOptions {
  DatabaseSettings settings;
  std::string replica;  // for people, without secrets
  std::string folder;   // state folder of this pipeline
  FileId file;          // which the host reads; not known: whatever lies at the path
  ReplicaClient* client = nullptr;
  Host* host = nullptr;
  Clock* clock = nullptr;
  Logger* logger = nullptr;
  std::function<uint64_t()> random;
  LockRegister* locks = nullptr;
  // On the ship thread, often: whether the settings have changed; null: nobody asks.
  std::function<void(bool denied)> look = nullptr;
  std::mutex* origin = nullptr;  // held, behind the core's, while what the file says changes
};

inline constexpr char kNoThread[] = "no thread can be started (ulimit -u, or no memory is left)";

// What was found in the state folder when the process began.
struct LeftState {
  bool any = false;     // an index, usable or not
  bool others = false;  // it is that of another file, which lay at the path before
  DatabaseId id{};      // whose replica that one was the source of
};

class Core {
 public:
  explicit Core(CoreOptions options)
      : options(std::move(options)),
        retention_ms(this->options.settings.retention_ms),
        min_interval_ms(this->options.settings.min_interval_ms),
        snapshot_interval_ms(this->options.settings.snapshot_interval_ms),
        board(this->options.clock),
        trail(this->options.folder),
        shipped(this->options.folder + "/shipped"),
        handover(HandoverOptions()),
        neighbours(NeighboursOptions()),
        shipping(this->options.logger, this->options.clock, Level::kError),
        contended(this->options.logger, this->options.clock, Level::kWarn),
        local(this->options.logger, this->options.clock, Level::kError),
        threads(this->options.logger, this->options.clock, Level::kError),
        jobs(this->options.logger, this->options.clock, Level::kWarn),
        missing(this->options.logger, this->options.clock, Level::kError),
        retention(this->options.logger, this->options.clock, Level::kWarn),
        upload_interval_ms(this->options.settings.min_interval_ms) {}

  const CoreOptions options;
  // Of the settings, what changes with the configuration file.
  std::atomic<int64_t> retention_ms;
  std::atomic<int64_t> min_interval_ms;
  std::atomic<int64_t> snapshot_interval_ms;  // 0: by the size of the log alone
  NoteBoard board;
  Trail trail;
  ShippedLog shipped;
  Handover handover;
  Neighbours neighbours;
  LastingProblem shipping;   // of the replica
  LastingProblem contended;  // another writer may be taking the replica over
  LastingProblem local;      // of the state folder, the WAL or the database file
  LastingProblem threads;    // of our own threads: out of memory
  LastingProblem jobs;       // of snapshots and packs
  LastingProblem missing;    // of objects that the bucket has lost
  LastingProblem retention;
  std::mutex mutex;
  std::condition_variable ship_work;  // the life, the outbox or what is due changed

  Life life;  // guarded
  // Guarded; used while the life is open, null before the page size is known.
  std::unique_ptr<PageIndex> index;
  std::unique_ptr<Outbox> outbox;
  std::unique_ptr<Capture> capture;
  // Guarded.
  Identity identity;
  ShipState ship;
  bool connected = false;  // the replica is ours and reachable, as far as known
  // The place in the files is found, or another process's to find: a checkpoint hides no commit.
  std::atomic<bool> placed{false};
  bool guessed = false;  // the last pass could not see what others have committed
  SnapshotCopy copy{options.folder + "/snapshot", &outbox};
  bool renewed = false;  // other keys: the next try is made at once
  // Lets go of the database if its state folder was removed: another process may ship by now.
  std::function<void()> end_if_removed = [] {};
  std::string complaint;  // what the log says of it, again and again; empty: nothing to be done
  LeftState left;
  Family family;        // of the database file, when it was opened
  Status last_error;    // of the last try to reach the replica; Ok when it worked
  Status local_error;   // of the state folder or the files; Ok when they work
  Status thread_error;  // of a thread that had to start over; Ok when both work again
  uint64_t thread_failures = 0;
  uint64_t retries = 0;     // tries to reach the replica that failed
  int64_t last_ack_ms = 0;  // wall clock; 0: never in this process
  int64_t proven_ms = 0;    // wall clock: a snapshot was last known to be there; 0: never
  int64_t snapshot_ms = 0;  // wall clock: of the state that it holds; 0: not known
  Lag lag;
  LookBook looks;
  RequestBudget budget{0, 0};  // as it was when a request was last counted
  uint64_t save_above = 0;     // outbox bytes at which the index is saved again

  // What this process calls itself in log/writer, where the store does not tell writers apart; 0:
  // it has not announced itself.
  std::atomic<uint64_t> announced{0};
  // Read by the capture thread without the mutex.
  std::atomic<bool> ship_idle{true};
  std::atomic<int64_t> last_put_start_ms{0};  // monotonic
  std::atomic<int64_t> upload_interval_ms;    // least time to the next one

  // A snapshot that segments can be replayed on exists, or is being copied.
  bool GoesOnLocked() const { return ship.restorable || copy.under_way(); }
  // What is committed goes into segments; else its pages become unknown.
  bool EncodesLocked() const { return life.whole() && GoesOnLocked(); }
  // What capture holds in memory may be half of a change.
  void DistrustLocked();
  // A thread got through a round of its work.
  void ThreadWorks();
  // Writes the index and drops its redo from the outbox.
  void SaveIndexLocked();
  void SaveShipLocked();
  // kForeign: somebody has put another replica into the place of ours since we last wrote to it.
  // Takes the mutex.
  Status CheckOwn(const Identity& found);
  // Forgets the segments that wait: their pages become unknown, and `head` is where the log ends. A
  // repair follows. `save`: write the index back at once.
  void CollapseLocked(const LogHead& head, bool save = true);
  void NeedRepairLocked(RepairNeed need);
  // The database has got another page size: the log begins a new base, with a first snapshot.
  void LeaveBaseLocked();
  // No transaction stands open, and what is unknown goes into segments.
  bool CopyMayBeginLocked() const;
  // The process ends: a snapshot that is not the first one is left to the next process.
  bool LeavesCopyLocked() const { return life.leaves() && ship.restorable; }
  // Gives up the snapshot that is being copied, if any.
  void AbortSnapshotLocked();
  // The same of one that waits for its manifest.
  void VoidSnapshotLocked();
  // Ends the copy here, if nothing is unknown.
  bool EndCopyLocked();
  // What is shipped, encoded or to be compared has changed: says since when something waits.
  void SettleLagLocked();
  // True when a repair has to wait: the replica is not known to be reachable.
  bool UnhealthyLocked() const { return !connected || !last_error.ok(); }
  // The pipeline gives up for good: logged, shown in status, waiters released.
  void Stop(const Status& why);
  void StopLocked(const Status& why, Level level = Level::kError);
  // The same for this object alone: the database may be opened anew at any time.
  void LetGoLocked(const Status& why, Level level);
  // Behind an end: what is in memory of the database is given back. What is on the disk stays for
  // the next process.
  void FreeLocked();
  // The process ends: the next try to ship is made at once.
  void Leave();
  // Nothing of it waits for the replica, as far as known.
  bool AllShippedLocked();
  // Says again that this pipeline has given up, if that is due.
  void RemindLocked() const;
  // Another file lies at the path by now.
  bool IsReplaced() const;
  // So it does, or none does: its WAL is not found under its name either.
  bool IsAway() const;
  // The database was closed and another file opened at its path: ends once nothing waits that can
  // be shipped, and at once where nothing could be restored anyway.
  void RetireLocked();
  // A transaction without a WAL that the handover was not told of is under way, or waits to be
  // rolled back: what the file holds is not committed.
  bool WriteActive();
  // What neighbours have done to the database between these places, as far as it is known.
  std::optional<std::vector<TransactionPtr>> Bridge(const TrailPlace& from, const TrailPlace& to);
  // What to do about a replica that is another database's.
  std::string ForeignRemedy() const;
  // What becomes of commits when the state folder takes nothing, and what to do about it.
  std::string FolderRemedy() const;
  // What to do when a newer writer has taken it over.
  std::string FencedRemedy() const;
  // What to do when it is damaged where this database would go on.
  std::string DamageRemedy() const;
  // The fields of every log line.
  void Log(Level level, const std::string& message) const;
  void Recovered(const std::string& message) const;

 private:
  void EndLocked(const Life::Event& end, Level level);
  Handover::Options HandoverOptions();
  Neighbours::Options NeighboursOptions();
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_CORE_H_
