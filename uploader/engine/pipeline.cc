#include "uploader/engine/pipeline.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

#include "uploader/base/caught.h"
#include "uploader/engine/bridge.h"
#include "uploader/engine/leader_status.h"
#include "uploader/format/keys.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

// Longer than a commit usually waits until it is encoded, ms.
constexpr int64_t kUsualMs = 3000;
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

nlohmann::json TimeOrNull(int64_t ms) {
  return ms == 0 ? nlohmann::json(nullptr) : nlohmann::json(FormatRfc3339(ms));
}

}  // namespace

Pipeline::Pipeline(CoreOptions options, std::unique_ptr<ReplicaClient> client,
                   std::function<void()> tick)
    : client_(std::move(client)),
      core_(WithClient(std::move(options), client_.get())),
      jobs_(&core_),
      loop_(&core_, std::move(tick)),
      shipper_(&core_, &jobs_) {}

bool Pipeline::Start() {
  const auto runs = [](const char* name, const std::function<void()>& body, Thread* thread) {
    return thread->joinable() || thread->Start(name, body);
  };
  return runs(
             "backstay-capt", [this] { Keep("capture", [this] { loop_.Run(); }); },
             &capture_thread_) &&
         runs(
             "backstay-ship", [this] { Keep("ship", [this] { shipper_.Run(); }); }, &ship_thread_);
}

void Pipeline::Keep(const char* name, const std::function<void()>& body) {
  for (;;) {
    Status ended = Caught([&] { return body(), Status::Ok(); });
    if (ended.ok()) return;
    {
      std::lock_guard<std::mutex> lock(core_.mutex);
      ++core_.thread_failures;
    }
    // Perhaps there is no memory for the report either.
    bool reported = false;
    while (!reported) {
      reported = Caught([&] { return ReportFailure(name, ended), Status::Ok(); }).ok();
      std::unique_lock<std::mutex> lock(core_.mutex);
      core_.ship_work.wait_for(lock, kRestartPause, [this] { return core_.stopping; });
      if (core_.stopping) return;
    }
  }
}

void Pipeline::ReportFailure(const char* name, const Status& failure) {
  {
    std::lock_guard<std::mutex> lock(core_.mutex);
    core_.thread_error = failure;
  }
  core_.threads.Failed(
      std::string("the ") + name + " thread failed and starts over: " + failure.message(),
      {{"db", core_.options.settings.path}, {"replica", core_.options.replica}});
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
  if (!core_.stopped.ok()) return true;
  // Another process has shipped it, or never will.
  if (core_.passive) return core_.neighbours.Settled() || core_.neighbours.gave_up();
  if (!core_.ReadyLocked()) return false;
  return core_.outbox->pending().empty() && core_.handover.Idle() && core_.ship.restorable &&
         !core_.copy.active() && core_.repair == RepairNeed::kNone && !jobs_.running();
}

bool Pipeline::Drain(LastWait* wait) {
  {
    std::lock_guard<std::mutex> lock(core_.mutex);
    if (!holds()) return core_.AllShippedLocked();
    if (core_.passive && core_.neighbours.Settled()) return true;
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
    return core_.passive || core_.stopping || !core_.stopped.ok() ||
           core_.looks.SeenSince(since_ms);
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
  if (!core_.stopped.ok() || core_.neighbours.alone()) return true;
  // What was committed into a file that is not found any more is not read any more.
  if (core_.IsAway() && (core_.outbox == nullptr || core_.outbox->pending().empty())) return true;
  const Status& error = core_.last_error;
  if (core_.ending == Ending::kTried && !error.ok() && !error.retryable()) return true;
  if (wait.patient()) return false;
  if (core_.passive) return LeaderFails();
  if (!error.ok()) return !core_.options.client->Reached();
  return !core_.ship.restorable && core_.jobs.failing();
}

bool Pipeline::Stopped() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  return !core_.stopped.ok();
}

bool Pipeline::LeaderFails() const {
  const auto leader =
      LeaderStatus::Read(StateFolderOf(core_.options.settings.path), core_.options.replica);
  return leader && leader->failing;
}

bool Pipeline::Owes() {
  if (!core_.neighbours.Owes()) return false;
  std::lock_guard<std::mutex> lock(core_.mutex);
  if (!core_.stopped.ok() || core_.neighbours.alone()) return false;
  if (core_.passive) return !LeaderFails();
  return core_.last_error.ok() && core_.local_error.ok() && !core_.AllShippedLocked() &&
         (core_.ship.restorable || !core_.jobs.failing());
}

std::string Pipeline::Problem() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  if (core_.passive) return core_.neighbours.Problem();
  return ErrorLocked().message();
}

std::string Pipeline::Outlook() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  if (!holds()) return {};
  if (!core_.stopped.ok()) {
    return "no start ships the rest before that is settled: " + core_.stopped.message();
  }
  if (!core_.local_error.ok()) {
    return "the rest follows at the first start that can use its files (" +
           core_.local_error.message() + ")";
  }
  if (core_.passive) return core_.neighbours.Problem();
  if (!core_.thread_error.ok()) {
    return "the rest follows at the next start on this disk (" + core_.thread_error.message() + ")";
  }
  if (core_.last_error.ok()) return {};
  return "the rest follows at the first start on this disk that reaches the replica (" +
         core_.last_error.message() + ")";
}

const Status& Pipeline::ErrorLocked() const {
  if (!core_.stopped.ok()) return core_.stopped;
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
    core_.stopping = true;
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
  capture_thread_.Join();
  core_.neighbours.Stop(loop_.HoldsLock());
}

// In this order: what one thread starts is looked at when that one has ended.
bool Pipeline::ThreadsOver() const {
  return ship_thread_.over() && jobs_.over() && capture_thread_.over() && core_.neighbours.over();
}

void Pipeline::LetGo(const Status& why, Level level) {
  std::lock_guard<std::mutex> lock(core_.mutex);
  core_.LetGoLocked(why, level);
}

void Pipeline::Release() {
  core_.neighbours.LetGo();
  core_.trail.Close();
  loop_.Unlock();
  std::lock_guard<std::mutex> lock(core_.mutex);
  core_.capture.reset();
  core_.outbox.reset();
  core_.index.reset();
}

const char* Pipeline::StateLocked() const {
  if (core_.stopped.code() == Code::kFenced) return "fenced";
  if (!core_.stopped.ok()) return "error";
  if (core_.stopping) return "ended";
  if (!core_.local_error.ok() || !core_.thread_error.ok()) return "error";
  if (core_.passive) return "passive";
  if (!core_.last_error.ok() || !client_->Silence().empty()) return "retrying";
  if (!core_.connected) return "starting";
  if (core_.repair != RepairNeed::kNone) return "repairing";
  return core_.ship.restorable ? "replicating" : "snapshotting";
}

// Not known before somebody has looked: the state folder may tell of a bucket that was emptied.
nlohmann::json Pipeline::RestorableLocked() const {
  if (core_.ship.restorable ? core_.proven_ms != 0 : core_.connected) return core_.ship.restorable;
  return nullptr;
}

std::string Pipeline::State() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  return StateLocked();
}

bool Pipeline::Leads() {
  std::lock_guard<std::mutex> lock(core_.mutex);
  // The lock was lost, and somebody else has it.
  const bool lost = core_.let_go && !loop_.HoldsLock();
  if (lost && FolderLock::IsHeld(core_.options.folder)) return false;
  return core_.neighbours.leads() || (!core_.passive && !core_.local_error.ok());
}

// The number is known while all that waits is in segments, the time from the first moment on.
void Pipeline::AddLagLocked(JsonText* out) {
  const NoteBoard::Noted noted = core_.board.NotTaken();
  const int64_t now = core_.options.clock->WallMs();
  const bool watched = core_.stopped.ok() && core_.local_error.ok();
  const bool late = noted.first_ms != 0 && now - noted.first_ms > kUsualMs;
  const bool counted = watched && !late && core_.ReadyLocked() && core_.ship.restorable &&
                       core_.repair == RepairNeed::kNone;
  nlohmann::json transactions;
  if (counted) {
    const uint64_t txid = core_.capture->encoder()->head().txid;
    transactions = txid - std::min(txid, core_.ship.shipped.txid) + noted.count;
  }
  int64_t since = core_.lag.since_ms();
  if (since == 0 || (noted.first_ms != 0 && noted.first_ms < since)) since = noted.first_ms;
  nlohmann::json ms;
  if (since != 0) {
    ms = std::max<int64_t>(0, now - since);
  } else if (watched) {
    ms = 0;
  }
  out->Add("lag_transactions", transactions);
  out->Add("lag_ms", ms);
}

// What the process that ships says, unless it has not seen what this one has committed.
void Pipeline::AddLeadersLag(JsonText* out) {
  const auto leader =
      LeaderStatus::Read(StateFolderOf(core_.options.settings.path), core_.options.replica);
  const int64_t last = core_.board.NotTaken().last_ms;
  const int64_t now = core_.options.clock->WallMs();
  nlohmann::json transactions;
  nlohmann::json ms;
  if (leader && leader->lag_ms) {
    int64_t since = *leader->lag_ms == 0 ? 0 : leader->written_ms - *leader->lag_ms;
    const bool unseen = last > leader->written_ms && now - last > kUsualMs;
    if (unseen && since == 0) since = last;
    ms = since == 0 ? 0 : std::max<int64_t>(0, now - since);
    if (!unseen && leader->lag_transactions) transactions = *leader->lag_transactions;
  }
  out->Add("shipped_by", leader ? nlohmann::json(leader->pid) : nlohmann::json());
  out->Add("lag_transactions", transactions);
  out->Add("lag_ms", ms);
}

void Pipeline::AddStatus(JsonText* out) {
  std::lock_guard<std::mutex> lock(core_.mutex);
  JsonText& j = *out;
  const ShipState& ship = core_.ship;
  LogHead head = core_.ReadyLocked() ? core_.capture->encoder()->head() : LogHead{};
  uint64_t outbox = core_.ReadyLocked() ? core_.outbox->pending_bytes() : 0;
  std::string error = ErrorLocked().message();
  if (error.empty()) error = client_->Silence();
  j.Open('{');
  j.Add("replica", core_.options.replica);
  j.Add("state", StateLocked());
  j.Add("error", error.empty() ? nlohmann::json(nullptr) : nlohmann::json(error));
  j.Add("database_id", FormatDatabaseId(core_.identity.id));
  j.Add("txid", head.txid);
  j.Add("replicated_txid", ship.shipped.txid);
  core_.passive ? AddLeadersLag(out) : AddLagLocked(out);
  j.Add("last_acknowledged", TimeOrNull(core_.last_ack_ms));
  j.Add("epoch", ship.epoch);
  j.Add("log_number", ship.next_log_number - 1);
  j.Add("segment_number", ship.shipped.segment_number);
  j.Add("restorable", RestorableLocked());
  j.Add("restorable_proven", TimeOrNull(core_.proven_ms));
  j.Add("snapshot_number", ship.snapshot_number);
  j.Add("snapshot_bytes", ship.snapshot_bytes);
  j.Add("log_bytes_since_snapshot", ship.log_bytes);
  j.Add("outbox_bytes", outbox);
  j.Add("thread_failures", core_.thread_failures);
  ClientCounters counters = client_->Counters();
  j.Add("requests", counters.requests);
  j.Add("bytes_sent", counters.bytes_sent);
  j.Add("bytes_received", counters.bytes_received);
  j.Add("pages_encoded", core_.ReadyLocked() ? core_.capture->encoder()->pages_encoded() : 0);
  j.Add("pages_based", core_.ReadyLocked() ? core_.capture->encoder()->pages_based() : 0);
  j.Close('}');
}

}  // namespace backstay
