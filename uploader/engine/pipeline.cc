#include "uploader/engine/pipeline.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "uploader/base/caught.h"
#include "uploader/engine/bridge.h"
#include "uploader/engine/leader_status.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

// A sync looks at the replica no more often than this; an exit only where nobody has for so long,
// and it waits so long for the answer.
constexpr int64_t kSyncLookMs = 5000;
constexpr int64_t kExitLookMs = 1000;
// In which a thread of ours answers whether something waits, whatever time a sync has been given.
constexpr int64_t kAnswerMs = 20;
constexpr auto kRestartPause = std::chrono::milliseconds(250);

CoreOptions WithClient(CoreOptions options, ReplicaClient* client) {
  options.client = client;
  return options;
}

}  // namespace

Pipeline::Pipeline(CoreOptions options, std::unique_ptr<ReplicaClient> client, Workers* workers,
                   std::function<void()> tick)
    : client_(std::move(client)),
      core_(WithClient(std::move(options), client_.get())),
      jobs_(&core_),
      loop_(&core_, std::move(tick), [this] { workers_->TakesLong(&capture_); }),
      shipper_(&core_, &jobs_),
      workers_(workers),
      capture_([this] { return Capture(); }) {
  core_.board.WakeBy([this] { workers_->Wake(&capture_); });
}

bool Pipeline::Start() {
  // In this order: the one that captures takes the database.
  const bool ships =
      ship_thread_.joinable() || ship_thread_.Start("backstay-ship", [this] { Ship(); });
  const bool started = ships && workers_->Add(&capture_);
  std::lock_guard<std::mutex> lock(core_.mutex);
  if (!started) core_.thread_error = Status(Code::kUnavailable, kNoThread, true);
  return started;
}

void Pipeline::CountFailure() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  ++core_.thread_failures;
}

bool Pipeline::Stops() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  return core_.life.stops();
}

void Pipeline::Ship() {
  for (;;) {
    Status ended = Caught([&] { return shipper_.Run(), Status::Ok(); });
    if (ended.ok()) return;
    CountFailure();
    // Perhaps there is no memory for the report either.
    bool reported = false;
    while (!reported) {
      reported = Caught([&] { return ReportFailure("ship", ended), Status::Ok(); }).ok();
      std::unique_lock<std::mutex> lock(core_.mutex);
      core_.ship_work.wait_for(lock, kRestartPause, [this] { return core_.life.stops(); });
      if (core_.life.stops()) return;
    }
  }
}

std::optional<int64_t> Pipeline::Capture() {
  std::optional<int64_t> next;
  // What the failed step has woken itself for waits, too.
  const int64_t now = core_.options.clock->MonotonicMs();
  if (now < resume_at_ms_ && !Stops()) return resume_at_ms_;
  if (!capture_failure_) {
    Status ended = Caught([&] { return next = loop_.Step(), Status::Ok(); });
    if (ended.ok()) return next;
    CountFailure();
    capture_failure_ = std::move(ended);
  }
  // Perhaps there is no memory for the report either.
  const bool reported =
      Caught([&] { return ReportFailure("capture", *capture_failure_), Status::Ok(); }).ok();
  if (Stops()) return std::nullopt;
  if (reported) capture_failure_.reset();
  resume_at_ms_ = core_.options.clock->MonotonicMs() + kRestartPause.count();
  return resume_at_ms_;
}

void Pipeline::ReportFailure(const char* name, const Status& failure) {
  // In this order: what another thread finds to be over has been said.
  core_.threads.Failed(
      std::string("the ") + name + " thread failed and starts over: " + failure.message(),
      {{"db", core_.options.settings.path}, {"replica", core_.options.replica}});
  std::lock_guard<std::mutex> lock(core_.mutex);
  core_.thread_error = failure;
}

void Pipeline::NoteStep(const TrailStep& step) {
  if (holds() && !core_.neighbours.leads()) core_.trail.Append(step);
}

void Pipeline::NoteWalGone(const FileLook& look) {
  const std::optional<WalTarget> end = core_.board.Latest();
  // What this process did not see it can tell nobody.
  if (end && !core_.board.began_anew()) {
    NoteStep({PlaceOf(*end), PlaceOf(look), look.page_size, look.pages, {}});
  }
  core_.board.WalGone(look.stamp);
  if (end) core_.neighbours.Changed();
}

bool Pipeline::Quiet() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  if (core_.life.ended()) return true;
  // Another process has shipped it, or never will.
  if (core_.life.follows()) return core_.neighbours.Settled() || core_.neighbours.gave_up();
  if (!core_.life.open()) return false;
  return core_.outbox->pending().empty() && core_.handover.Idle() && core_.ship.restorable &&
         !core_.copy.active() && core_.life.whole() && !jobs_.running();
}

bool Pipeline::Drain(LastWait* wait) {
  const bool shipped = DrainLog(wait);
  // A part of a snapshot that is not waited for is sent anew by the next process.
  for (int64_t ms = 0; shipped && jobs_.sends_frame() && (ms = wait->Next()) > 0;) {
    std::unique_lock<std::mutex> lock(core_.mutex);
    if (core_.UnhealthyLocked() || core_.jobs.failing()) break;
    core_.ship_work.wait_for(lock, std::chrono::milliseconds(ms),
                             [this] { return !jobs_.sends_frame(); });
  }
  return shipped;
}

bool Pipeline::DrainLog(LastWait* wait) {
  {
    std::lock_guard<std::mutex> lock(core_.mutex);
    if (!holds()) return core_.AllShippedLocked();
    if (core_.life.follows() && core_.neighbours.Settled()) return true;
  }
  // What is committed is encoded, whatever becomes of it: the next start goes on there.
  (void)core_.board.Finish(wait->Next());
  const int64_t start = core_.options.clock->MonotonicMs();
  while (const int64_t ms = wait->Next()) {
    if (core_.neighbours.Sync(ms, /*impatient=*/true)) {
      const bool waited = core_.options.clock->MonotonicMs() - start >= kExitLookMs;
      if (waited || NothingSent() || Seen(LookSince(start, kExitLookMs), ms)) return true;
      continue;
    }
    std::lock_guard<std::mutex> lock(core_.mutex);
    if (VainLocked(*wait)) return false;
  }
  std::lock_guard<std::mutex> lock(core_.mutex);
  return core_.AllShippedLocked();
}

// A look that began in the millisecond of the question may have been before it.
int64_t Pipeline::LookSince(int64_t start_ms, int64_t ms) const {
  return client_->LooksAreFree() ? start_ms + 1 : start_ms - ms;
}

bool Pipeline::NothingSent() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  return !core_.looks.wrote();
}

// A look that finds something missing says so before it is over: then it is waited for anew.
bool Pipeline::Sync(int64_t timeout_ms, bool commit) {
  const int64_t start = core_.options.clock->MonotonicMs();
  const int64_t deadline = start + timeout_ms;
  const int64_t since = LookSince(start, kSyncLookMs);
  for (int64_t left = timeout_ms;;) {
    if (!core_.neighbours.Sync(std::max(left, kAnswerMs))) return false;
    left = deadline - core_.options.clock->MonotonicMs();
    if (commit || Seen(since, left)) return true;
    left = deadline - core_.options.clock->MonotonicMs();
    if (left <= 0) return false;
  }
}

bool Pipeline::Seen(int64_t since_ms, int64_t timeout_ms) {
  std::unique_lock<std::mutex> lock(core_.mutex);
  const auto seen = [&] {
    return core_.life.follows() || core_.life.over() || core_.looks.SeenSince(since_ms);
  };
  if (seen()) return true;
  core_.looks.Want(std::max(core_.options.clock->MonotonicMs(), since_ms));
  core_.ship_work.notify_all();
  // Without time for a look the last one counts.
  if (timeout_ms <= 0) return core_.looks.SeenSince(0);
  const auto wait = std::chrono::milliseconds(timeout_ms);
  (void)core_.ship_work.wait_for(lock, wait, seen);
  return false;
}

// One answer is enough of a replica that refuses: only somebody else can change that.
bool Pipeline::VainLocked(const LastWait& wait) {
  if (core_.life.ended() || core_.neighbours.alone()) return true;
  // What was committed into a file that is not found any more is not read any more.
  if (core_.IsAway() && (core_.outbox == nullptr || core_.outbox->pending().empty())) return true;
  const Status& error = core_.last_error;
  if (core_.life.failed_to_leave() && !error.ok() && !error.retryable()) return true;
  if (wait.patient()) return false;
  if (core_.life.follows()) return LeaderFails();
  if (!error.ok()) return !core_.options.client->Reached();
  return !core_.ship.restorable && core_.jobs.failing();
}

void Pipeline::TakeUp(const DatabaseSettings& settings, const ReplicaSettings& replica) {
  core_.retention_ms = settings.retention_ms;
  core_.min_interval_ms = settings.min_interval_ms;
  core_.snapshot_interval_ms = settings.snapshot_interval_ms;
  const Result<bool> others = client_->UseKeys(replica);
  if (!others.ok()) {
    return core_.Log(Level::kWarn,
                     "the configuration has changed and holds no access keys; those from before "
                     "are used until the application ends: " +
                         others.status().message());
  }
  if (!*others) return;
  core_.Log(Level::kInfo, "other access keys are used from now on");
  std::lock_guard<std::mutex> lock(core_.mutex);
  core_.renewed = !core_.last_error.ok();
  core_.ship_work.notify_all();
}

bool Pipeline::Stopped() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  return core_.life.ended();
}

bool Pipeline::LeaderFails() const {
  const auto leader =
      LeaderStatus::Read(StateFolderOf(core_.options.settings.path), core_.options.replica);
  return leader && leader->failing;
}

bool Pipeline::Owes() {
  if (!core_.neighbours.Owes()) return false;
  std::lock_guard<std::mutex> lock(core_.mutex);
  if (core_.life.ended() || core_.neighbours.alone()) return false;
  if (core_.life.follows()) return !LeaderFails();
  return core_.last_error.ok() && core_.local_error.ok() && !core_.AllShippedLocked() &&
         (core_.ship.restorable || !core_.jobs.failing());
}

std::string Pipeline::Problem() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  if (core_.life.follows()) return core_.neighbours.Problem();
  return ErrorLocked().message();
}

std::string Pipeline::Outlook() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  if (!holds()) return {};
  if (core_.life.ended()) {
    return "no start ships the rest before that is settled: " + core_.life.why().message();
  }
  if (!core_.local_error.ok()) {
    return "the rest follows at the first start that can use its files (" +
           core_.local_error.message() + ")";
  }
  if (core_.life.follows()) return core_.neighbours.Problem();
  if (!core_.thread_error.ok()) {
    return "the rest follows at the next start on this disk (" + core_.thread_error.message() + ")";
  }
  if (core_.last_error.ok()) return {};
  return "the rest follows at the first start on this disk that reaches the replica (" +
         core_.last_error.message() + ")";
}

const Status& Pipeline::ErrorLocked() const {
  if (core_.life.ended()) return core_.life.why();
  if (!core_.thread_error.ok()) return core_.thread_error;
  return core_.local_error.ok() ? core_.last_error : core_.local_error;
}

void Pipeline::Retire() {
  {
    std::lock_guard<std::mutex> lock(core_.mutex);
    core_.RetireLocked();
  }
  core_.board.Poke();
}

void Pipeline::RequestStop() {
  {
    std::lock_guard<std::mutex> lock(core_.mutex);
    core_.life.On(Life::Stops{});
  }
  client_->Cancel();
  core_.board.Stop();
  core_.neighbours.RequestStop();
  core_.ship_work.notify_all();
}

void Pipeline::Stop() {
  RequestStop();
  ship_thread_.Join();
  jobs_.Stop();
  workers_->AwaitOver(&capture_);
  core_.neighbours.Stop(loop_.HoldsLock());
}

// In this order: what one thread starts is looked at when that one has ended.
bool Pipeline::ThreadsOver() const {
  return ship_thread_.over() && jobs_.over() && workers_->IsOver(&capture_) &&
         core_.neighbours.over();
}

void Pipeline::LetGo(const Status& why, Level level) {
  std::lock_guard<std::mutex> lock(core_.mutex);
  core_.LetGoLocked(why, level);
}

void Pipeline::Release() {
  core_.neighbours.LetGo();
  core_.trail.Close();
  std::lock_guard<std::mutex> lock(core_.mutex);
  loop_.Unlock();
  core_.FreeLocked();
}

std::string Pipeline::State() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  return StateLocked();
}

bool Pipeline::Leads() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  // The lock was lost, and somebody else has it.
  const bool lost = !core_.life.holds() && !loop_.HoldsLock();
  const bool idle = !core_.thread_error.ok() && !core_.neighbours.leads();
  if ((lost || idle) && FolderLock::IsHeld(core_.options.folder)) return false;
  return core_.neighbours.leads() || idle || (!core_.life.follows() && !core_.local_error.ok());
}

}  // namespace backstay
