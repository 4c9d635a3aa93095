// Engine: the databases that this process replicates.
//
// One per process, made at the first open() of the C boundary (api.cc) and never destroyed: its
// threads may outlive static destructors. Any thread. Databases that have nothing left to do, or
// were let go, are ended by a reaper thread: what hangs there keeps no application waiting.

#ifndef BACKSTAY_UPLOADER_ENGINE_ENGINE_H_
#define BACKSTAY_UPLOADER_ENGINE_ENGINE_H_

#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "uploader/base/status.h"
#include "uploader/base/thread.h"
#include "uploader/engine/close_budget.h"
#include "uploader/engine/configuration.h"
#include "uploader/engine/database.h"
#include "uploader/engine/heartbeat.h"
#include "uploader/engine/metrics_writer.h"
#include "uploader/engine/workers.h"
#include "uploader/engine_api.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/retry_bucket.h"

namespace backstay {

// What the host says of a database beside the settings.
struct OpenedWith {
  std::string path;
  std::string replica_url;  // or empty
  std::vector<std::pair<std::string, std::string>> parameters;
};

class Engine {
 public:
  // Throws std::bad_alloc if memory or file descriptors ran out.
  explicit Engine(SettingsSources sources);

  // With the settings as they were read last; fails where they cannot be used.
  Result<Database*> Open(const BackstayOpen& options);
  // Lets go of all databases; they may be opened anew. False: there was none.
  bool GiveBack();
  void Close(Database* database);
  // Behind Close(): waits for what was committed in it.
  void Closed(Database* database);
  void Log(Level level, const char* path, const char* message);
  // Ships what is committed, at most for the drain timeout, then ends the threads. At process exit.
  void Drain();
  // In a forked child, instead of anything else: only async-signal-safe work.
  void Forked() noexcept;

 private:
  Result<DatabaseSettings> SettingsOf(const OpenedWith& with, const Settings& settings) const;
  // What has changed in the configuration file.
  void TakeUpSettings(bool denied);
  // Ends what has lost this database; waits until it has released it, at most 0.1 s.
  void MakeWay(const std::string& path, std::unique_lock<std::mutex>* lock);
  // What the application has taken descriptors of is opened anew by its host, within 0.5 s.
  void EndLost(std::unique_lock<std::mutex>* lock);
  bool AllReleasedLocked() const;
  void StartReaperLocked();
  void TakeTermSignalLocked();
  // If the settings want one.
  void StartHeartbeatLocked();
  Proof ProofSince(int64_t since_ms, int64_t lag_ms);
  void Reap();
  bool EndsNothingLocked() const;
  void ReapOnce();
  void RetireLocked(std::unique_ptr<Database>* database);
  void SetAsideLocked(std::unique_ptr<Database>* database);
  void CollectLocked(std::vector<Database*>* let_go);
  void ReleaseLetGo(std::vector<Database*>* let_go);
  void EndAll();
  void EndOne(std::unique_ptr<Database>* database);
  void DropEnding();
  std::vector<uint64_t> OpenWrites();
  void DrainRetired(LastWait* wait);
  void DrainOne(Database* database, LastWait* wait);
  int64_t FollowedSinceLocked() const;

  Configuration configuration_;  // Look() aside guarded by mutex_
  Logger logger_;
  MetricsWriter metrics_;
  LockRegister locks_;
  const std::shared_ptr<RetryBuckets> retries_ = std::make_shared<RetryBuckets>();
  Workers workers_{RealClock()};
  CloseBudget closes_;
  std::mutex mutex_;
  std::condition_variable reap_;
  std::map<std::string, std::unique_ptr<Database>> databases_;  // by path; guarded by mutex_
  // Whose place at its path another file has taken, or an object that was opened anew; guarded by
  // mutex_.
  std::vector<std::unique_ptr<Database>> retired_;
  // Taken out of both, and asked to end: the reaper's, and behind it Drain()'s.
  std::vector<std::unique_ptr<Database>> ending_;
  bool reaping_ = false;           // guarded by mutex_
  std::condition_variable freed_;  // the reaper is through
  Thread reaper_;                  // guarded by mutex_
  bool drained_ = false;           // guarded by mutex_
  bool term_signal_ = false;       // looked at; guarded by mutex_
  HeartbeatTally beats_;
  std::unique_ptr<Heartbeat> heartbeat_;  // made under mutex_, null until then
  std::mutex drain_mutex_;                // held while the process drains
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_ENGINE_H_
