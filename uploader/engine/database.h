// Database: one replicated database file in this process: its host callbacks and one pipeline per
// replica.
//
// Owned by Engine. Methods are called on application threads (the C boundary) unless said
// otherwise; Stop() and the destructor on the reaper thread or at exit. status.json is written on
// capture threads, at most once a second.

#ifndef BACKSTAY_UPLOADER_ENGINE_DATABASE_H_
#define BACKSTAY_UPLOADER_ENGINE_DATABASE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "uploader/base/clock.h"
#include "uploader/base/log.h"
#include "uploader/engine/heartbeat_tally.h"
#include "uploader/engine/host.h"
#include "uploader/engine/metrics_file.h"
#include "uploader/engine/pipeline.h"
#include "uploader/engine_api.h"
#include "uploader/settings/settings.h"
#include "uploader/state/process_id.h"
#include "uploader/storage/client_factory.h"

namespace backstay {

struct DatabaseOptions {
  DatabaseSettings settings;
  MetricsWriter* metrics = nullptr;           // null: no metrics file
  const HeartbeatTally* heartbeat = nullptr;  // null: no monitor is told
  Clock* clock = nullptr;
  Logger* logger = nullptr;
  FileId file;  // which the host reads; not known: whatever lies at the path
  std::function<uint64_t()> random;
  std::shared_ptr<RetryBuckets> retries;  // null: of each replica's own
  LockRegister* locks = nullptr;          // null: forked children are of no concern
  Workers* workers = nullptr;             // of the process; null: it has its own
  // Looks whether the settings have changed, and has them taken up; often, on a ship thread.
  // `denied`: a replica denies what it is asked for.
  std::function<void(bool denied)> look;
  // What other settings than those it was opened with say of it; empty: it is not asked.
  std::function<Result<DatabaseSettings>(const Settings& settings)> choose;
  std::function<Result<std::unique_ptr<ReplicaClient>>(const ReplicaSettings&, ClientOptions)>
      make_client = MakeReplicaClient;
  // Called when a closed database has nothing left to do; any thread, perhaps more than once.
  std::function<void()> quiet;
};

class Database {
 public:
  // Fails when a replica's client cannot be made. The host is taken only on success.
  static Result<std::unique_ptr<Database>> Open(DatabaseOptions options, const BackstayHost& host);
  // What it may throw is bad_alloc alone.
  ~Database() { Stop(); }  // NOLINT(bugprone-exception-escape)

  const std::string& path() const { return options_.settings.path; }
  const FileId& file() const { return options_.file; }
  bool sync_commits() const { return options_.settings.durability == Durability::kSync; }

  void Reopen(const BackstayHost& host);
  // To be followed by Closed(), the last word of that connection. Between them Linger() waits until
  // what this process has committed is shipped, unless that would be in vain.
  void Close();
  void Linger(int64_t deadline_ms);
  void Closed() { --closing_; }
  bool closing() const { return closing_ > 0; }
  // False: it has let go of the database while that was in use. What is called does nothing.
  bool holds() const;
  void EndIfLost();
  // Ends replication, without waiting. Of one that is in use the caller tells. Twice is as good as
  // once.
  void LetGo(const Status& why);
  // Behind it, or behind RequestStop(): Stop() takes no time.
  bool ThreadsOver() const;
  // Behind LetGo(), when they are: gives back what it takes of descriptors and memory, calls
  // `released`, and lets the host open it anew.
  void Release(const std::function<void()>& released);
  bool released() { return host_.released(); }
  // Another file was opened at the path: ends soon, and leaves the status file to that one.
  void Retire();
  // The capture threads look at once.
  void Poke();
  void Committed(const WalTarget& target);
  bool Finish(int64_t timeout_ms, bool commit_waits = false);
  void BeforeCheckpoint();
  void WalGone();
  // In rollback-journal modes, with the database's lock held: before the first page of a
  // transaction is written, and at its end.
  void Writing();
  void Written(const BackstayWrites& writes);
  // Negative: the configured sync timeout; BACKSTAY_SYNC_COMMIT: likewise, for a commit.
  bool Sync(int64_t timeout_ms);
  // The number of the write transaction that this process has open; 0: none.
  uint64_t WriteOpen() { return host_.Writing(); }
  // The process ends: what it has open it will not write to any more. What waits is shipped...
  void Leave();
  // ... and waited for. False: it is not all in every replica; Outlook() says what becomes of it.
  bool Drain(LastWait* wait);
  // Takes up what can change of its settings while it is open. By one caller at a time.
  void TakeUp(const Settings& settings);
  // Of all replicas; Pipeline has it.
  Proof ProofSince(int64_t since_ms, int64_t lag_ms);
  // Why a replica lags; empty when nothing is known to be wrong.
  std::string Problem();
  // Starts threads for which there was no room or memory before; costs nothing when all run.
  void StartThreads();
  // The host closed it and every pipeline is done.
  bool Quiet();
  // And nothing would come of following what other processes do to the file.
  bool Over();
  bool closed() const { return closed_; }
  int64_t closed_at_ms() const { return closed_at_ms_; }
  // What becomes of commits that are not shipped when the process ends now.
  std::string Outlook();
  void RequestStop();
  void Stop();
  std::string StatusJson();

 private:
  explicit Database(DatabaseOptions options)
      : options_(std::move(options)),
        newest_(options_.settings),
        own_workers_(options_.clock),
        late_(options_.logger, options_.clock, Level::kWarn),
        threads_(options_.logger, options_.clock, Level::kError),
        metrics_(options_.metrics, options_.settings.path, options_.clock) {}

  Status AddPipelines();
  void End();
  void AwaitThreads(int64_t deadline_ms);
  // The host is the engine's from here on, whatever fails.
  void Begin(const BackstayHost& host);
  TransactionPtr ToTransaction(const BackstayWrites& writes, const FileLook& look) const;
  std::string State();
  // `now_ms`: when it is written.
  std::string Describe(int64_t now_ms);
  void Tick();
  void CommitIsLate(int64_t waited_ms);
  void CommitsAreSafe();
  void WriteStatusFile();
  bool Leads();

  const DatabaseOptions options_;
  DatabaseSettings newest_;  // TakeUp()'s; as they were read last
  const ProcessId process_ = ThisProcess();
  Host host_;
  std::mutex origin_;  // of the pipelines: what the file says of itself is written by one at a time
  Workers own_workers_;  // used where it was given none
  std::vector<std::unique_ptr<Pipeline>> pipelines_;
  FileLook before_;  // the file before the transaction; guarded by the database's own lock
  std::atomic<bool> closed_{false};
  std::atomic<int64_t> closed_at_ms_{0};  // monotonic; the last time
  std::atomic<int> closing_{0};           // Close() without Closed() so far
  std::atomic<bool> retired_{false};
  std::atomic<bool> started_{false};  // all threads of all pipelines were
  std::mutex start_mutex_;
  int64_t start_at_ms_ = 0;                // guarded by start_mutex_; monotonic; the next try
  std::atomic<bool> patient_{true};        // with the next checkpoint
  std::atomic<bool> stopping_{false};      // written under start_mutex_
  LastingProblem late_;                    // of commits with durability=sync
  LastingProblem threads_;                 // that cannot be started
  std::atomic<uint64_t> late_commits_{0};  // that returned before every replica had them
  std::mutex status_mutex_;
  MetricsFile metrics_;         // guarded by status_mutex_
  bool led_ = false;            // guarded by status_mutex_
  int64_t status_at_ms_ = 0;    // guarded by status_mutex_; monotonic
  std::string status_written_;  // guarded by status_mutex_; without its time
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_DATABASE_H_
