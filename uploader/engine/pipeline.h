// Pipeline: one database to one replica. Owns the shared Core, the capture task, the ship thread
// and the jobs.
//
// Owned by Database. Start() once; the notes and waits come from application threads; Stop() ends
// the threads: network calls are cancelled, so it returns within the time a local write takes.
// Problems show in AddStatus() and the log only.

#ifndef BACKSTAY_UPLOADER_ENGINE_PIPELINE_H_
#define BACKSTAY_UPLOADER_ENGINE_PIPELINE_H_

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "uploader/base/json_text.h"
#include "uploader/base/thread.h"
#include "uploader/engine/capture_loop.h"
#include "uploader/engine/core.h"
#include "uploader/engine/jobs.h"
#include "uploader/engine/last_wait.h"
#include "uploader/engine/proof.h"
#include "uploader/engine/shipper.h"
#include "uploader/engine/workers.h"

namespace backstay {

class Pipeline {
 public:
  // `tick` is called on the capture thread after every pass and about once a second.
  Pipeline(CoreOptions options, std::unique_ptr<ReplicaClient> client, Workers* workers,
           std::function<void()> tick);
  ~Pipeline() { Stop(); }

  // Starts the threads that do not run yet. False when the system has no more of them. After the
  // first HostOpened(), by one caller at a time.
  bool Start();
  void HostOpened(const FileStamp& stamp) { loop_.HostOpened(stamp); }
  bool placed() const { return core_.placed.load(); }
  NoteBoard* board() { return &core_.board; }
  Handover* handover() { return &core_.handover; }
  // What the host commits and waits for goes through here: another process may be the one that
  // ships.
  Neighbours* neighbours() { return &core_.neighbours; }
  // Leaves a step for the process that ships, if that is another one. With the database's lock
  // held.
  void NoteStep(const TrailStep& step);
  // The same: all that was committed is in the database file, which looks so.
  void NoteWalGone(const FileLook& look);
  // Nothing is left to do: all is shipped, no job runs.
  bool Quiet();
  // Waits until all that was committed is in the replica, and this is there; `commit`: of a commit,
  // which is answered without a look.
  bool Sync(int64_t timeout_ms, bool commit);
  // What this process has committed waits for the replica, which takes it as far as known.
  bool Owes();
  // The process ends: what waits is shipped now...
  void Leave() { core_.Leave(); }
  // ... and waited for, as long as that is of use. False: it is not all in the replica.
  bool Drain(LastWait* wait);
  // Of settings that were read anew: what takes effect at once.
  void TakeUp(const DatabaseSettings& settings, const ReplicaSettings& replica);
  // It has given up for good.
  bool Stopped();
  // Why the replica lags; empty when nothing is known to be wrong.
  std::string Problem();
  // What keeps the next start from shipping the rest; empty: nothing that is known.
  std::string Outlook();
  // Another file was opened at the database's path: this one has an end.
  void Retire();
  // False: it has ended while the database was in use.
  bool holds() const { return core_.life.holds(); }
  // Ends it if the application has closed its descriptors.
  void EndIfLost() { loop_.EndIfLost(); }
  void LetGo(const Status& why, Level level);
  // Behind Stop(), for good: what it takes of descriptors and memory.
  void Release();
  // Asks the threads to end, without waiting.
  void RequestStop();
  // Behind it: all have ended but for Stop(), which takes no time then.
  bool ThreadsOver() const;
  void Stop();
  // This process is the one that ships, or nobody can be: what it says of itself is news.
  bool Leads();
  std::string State();
  // What is seen since then (monotonic), with nothing waiting for longer than `lag_ms`; asks for a
  // look where none was so lately. One kAwaited may be another thing a moment later.
  Proof ProofSince(int64_t since_ms, int64_t lag_ms);
  void AddStatus(JsonText* out);

 private:
  // The body of the ship thread. When it ends by an exception that is reported, and it starts over
  // after a pause.
  void Ship();
  // A step of the capture task, of which the same holds.
  std::optional<int64_t> Capture();
  void CountFailure();
  bool Stops();
  void ReportFailure(const char* name, const Status& failure);
  Proof JudgeLocked(int64_t since_ms, int64_t lag_ms);
  int64_t WaitsSinceLocked();
  int64_t BudgetLeftLocked() const;
  bool DrainLog(LastWait* wait);
  bool VainLocked(const LastWait& wait);
  bool NothingSent();
  int64_t LookSince(int64_t start_ms, int64_t ms) const;
  // The replica was seen to be there since then (monotonic), or this process has nothing to look
  // at. False: it was not; then a look was asked for, and waited for so long.
  bool Seen(int64_t since_ms, int64_t timeout_ms);
  bool LeaderFails() const;
  const char* StateLocked() const;
  const Status& ErrorLocked() const;
  nlohmann::json RestorableLocked() const;
  void AddRequests(JsonText* out);
  void AddLagLocked(JsonText* out);
  void AddLeadersLag(JsonText* out);

  std::unique_ptr<ReplicaClient> client_;
  Core core_;
  Jobs jobs_;
  CaptureLoop loop_;
  Shipper shipper_;
  Workers* const workers_;
  Workers::Task capture_;
  std::optional<Status> capture_failure_;  // not reported yet; capture thread
  int64_t resume_at_ms_ = 0;               // behind a failure; monotonic, capture thread
  Thread ship_thread_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_PIPELINE_H_
