#include "uploader/engine/shipper.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace backstay {
namespace {

constexpr int64_t kGroupShare = 6;  // of a round trip
constexpr int64_t kMaxGroupMs = 20;
constexpr uint64_t kPressingShare = 4;  // of the outbox's limit
constexpr int64_t kGlanceEveryMs = 5000;
constexpr auto kJobCheck = std::chrono::milliseconds(1000);

// The status is final: only another configuration or another replica would help.
bool IsFinal(const Status& status) {
  return status.code() == Code::kFenced || status.code() == Code::kCorrupt ||
         status.code() == Code::kNewer || status.code() == Code::kForeign;
}

}  // namespace

void Shipper::Run() {
  if (Connect()) {
    while (WaitForSegments()) Ship();
  }
  pace_.Settle(/*last=*/true);
}

bool Shipper::Connect() {
  {
    std::unique_lock<std::mutex> lock(core_->mutex);
    core_->ship_work.wait(lock, [&] { return OverLocked() || core_->life.open(); });
  }
  pace_.Begin();
  for (;;) {
    {
      std::lock_guard<std::mutex> lock(core_->mutex);
      if (OverLocked()) return false;
    }
    Status status = log_.Connect();
    if (status.ok()) break;
    if (IsFinal(status)) return Stop(status), false;
    if (!PauseAfter(status)) return false;
  }
  DatabaseId id{};
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    core_->connected = true;
    core_->board.Shipped(core_->ship.shipped.segment_number, core_->ship.restorable);
    id = core_->identity.id;
  }
  core_->shipped.Open(id);
  Succeeded();
  core_->Log(Level::kInfo, "replication started");
  return true;
}

// Returns when segments wait or the replica has to be probed; starts jobs meanwhile. False: stop.
bool Shipper::WaitForSegments() {
  for (;;) {
    // A snapshot of what has gone from the bucket would hide the loss. A pack makes it good.
    const bool look = (jobs_->SnapshotDue() && log_.LookStale()) || log_.LastLookDue();
    if (look && !Settled(log_.Look())) return false;
    if (Wanted(&LookBook::wanted) && !Settled(log_.Glance())) return false;
    if (Wanted(&LookBook::proof_wanted) && !Settled(log_.Prove())) return false;
    jobs_->StartDue();
    LookAtSettings(/*denied=*/false);
    std::unique_lock<std::mutex> lock(core_->mutex);
    if (OverLocked()) return false;
    if (WaitsLocked()) return true;
    if (!core_->last_error.ok()) return true;
    if (core_->looks.wanted() || core_->looks.proof_wanted()) continue;
    if (!core_->ship_idle.exchange(true)) core_->board.Poke();
    core_->ship_work.wait_for(lock, kJobCheck);
  }
}

bool Shipper::Wanted(bool (LookBook::*look)() const) const {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return (core_->looks.*look)() && core_->last_error.ok();
}

// A folder is looked at before each upload.
Status Shipper::GlanceIfDue() {
  if (core_->options.client->LooksAreFree()) return Status::Ok();
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    const int64_t now = core_->options.clock->MonotonicMs();
    if (core_->looks.SeenSince(now - kGlanceEveryMs)) return Status::Ok();
  }
  return log_.Glance();
}

// Something is to be written to the log.
bool Shipper::WaitsLocked() const {
  if (!core_->life.open()) return false;
  // A log without a snapshot, or the beginning of one, would be taken for what is left of a
  // replica.
  const bool early = !core_->ship.restorable && core_->copy.under_way() && !core_->copy.arrived();
  return core_->ship.new_base || (!early && !core_->outbox->pending().empty());
}

bool Shipper::PressesLocked() const {
  const uint64_t part = core_->options.settings.outbox_limit / kPressingShare;
  return core_->life.open() &&
         core_->outbox->pending_bytes() >= std::min(LogWriter::kMaxBatchBytes, part);
}

bool Shipper::WaitForInterval() {
  for (;;) {
    const int64_t due = core_->last_put_start_ms.load() + pace_.IntervalMs();
    const int64_t now = core_->options.clock->MonotonicMs();
    std::unique_lock<std::mutex> lock(core_->mutex);
    if (OverLocked()) return false;
    // Asked with the mutex held: a Sync() that comes later is followed by a pass, which wakes us.
    if (core_->board.SyncWaits() || PressesLocked() || due <= now) return true;
    core_->ship_work.wait_for(lock, std::chrono::milliseconds(due - now));
  }
}

void Shipper::WaitForGroup() {
  if (core_->options.settings.durability != Durability::kSync) return;
  int64_t until = acknowledged_ms_ + std::min(round_trip_ms_ / kGroupShare, kMaxGroupMs);
  std::unique_lock<std::mutex> lock(core_->mutex);
  for (;;) {
    int64_t now = core_->options.clock->MonotonicMs();
    if (now >= until || OverLocked() || core_->board.Regrouped()) return;
    core_->ship_work.wait_for(lock, std::chrono::milliseconds(until - now));
  }
}

void Shipper::Ship() {
  core_->ship_idle = false;
  if (!WaitForInterval()) return;
  WaitForGroup();
  bool empty = false;
  bool failing = false;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    empty = !WaitsLocked();
    failing = !core_->last_error.ok();
  }
  const int64_t start = core_->options.clock->MonotonicMs();
  core_->last_put_start_ms = start;
  core_->board.Sending();
  // A replica that could not be reached may be another one by now.
  if (empty || failing || log_.LookDue()) {
    Status status = log_.Look();
    if (!status.ok() || empty) return (void)Settled(status);
  }
  Status status = log_.Append();
  if (status.ok()) {
    acknowledged_ms_ = core_->options.clock->MonotonicMs();
    round_trip_ms_ = acknowledged_ms_ - start;
    core_->options.logger->Over(
        "this database is replicated again",
        {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
    status = GlanceIfDue();
  }
  (void)Settled(status);
}

void Shipper::Stop(const Status& status) {
  const bool damaged = status.code() == Code::kCorrupt;
  core_->Stop(damaged ? Status(status.code(), status.message() + core_->DamageRemedy()) : status);
}

// What a request to the replica means for the pipeline. False: it is over.
bool Shipper::Settled(const Status& status) {
  if (status.ok()) return Succeeded(), true;
  if (IsFinal(status)) return Stop(status), false;
  return PauseAfter(status);
}

void Shipper::Succeeded() {
  bool was_failing = false;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    was_failing = !core_->last_error.ok();
    core_->last_error = Status::Ok();
  }
  retry_.Reset();
  core_->ThreadWorks();
  if (was_failing) core_->board.Poke();
  core_->shipping.Recovered(
      "the replica is reachable again",
      {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
  core_->contended.Recovered(
      "no other writer has taken the replica over",
      {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
}

void Shipper::LookAtSettings(bool denied) {
  if (core_->options.look) core_->options.look(denied);
}

void Shipper::Rest(int64_t ms, bool denied, const std::function<bool()>& over,
                   std::unique_lock<std::mutex>* lock) {
  const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(ms);
  while (!over() && std::chrono::steady_clock::now() < until) {
    core_->ship_work.wait_until(
        *lock, std::min(until, std::chrono::steady_clock::now() + kJobCheck), over);
    lock->unlock();
    LookAtSettings(denied);
    lock->lock();
  }
}

// Notes the failure and waits before the next try. False: stop.
bool Shipper::PauseAfter(const Status& status) {
  {
    // A request that our own end has cancelled, or come before, is no failure of the replica.
    std::lock_guard<std::mutex> lock(core_->mutex);
    if (core_->life.over()) return false;
  }
  LastingProblem& problem = status.code() == Code::kContended ? core_->contended : core_->shipping;
  const char* remedy =
      core_->options.client->Reached()
          ? ""
          : "; it is tried again: see whether the server runs, and can be reached from here";
  problem.Failed("the replica cannot be written: " + status.message() + remedy,
                 {{"db", core_->options.settings.path}, {"replica", core_->options.replica}},
                 status.code());
  RetryWait wait(
      *retry_.Next({.asked_ms = core_->options.client->RetryAfterMs(), .soon = status.retryable()}),
      [this] { return core_->options.client->RetryTurnMs(); });
  std::unique_lock<std::mutex> lock(core_->mutex);
  core_->last_error = status;
  ++core_->retries;
  core_->life.On(Life::Failed{});
  core_->board.Trouble();
  const auto ends = [this] { return core_->life.hurries(); };
  const auto over = [&] { return OverLocked() || ends() || core_->renewed; };
  while (const int64_t ms = over() ? 0 : wait.Next()) {
    Rest(ms, status.code() == Code::kDenied, over, &lock);
  }
  // Whatever the pauses had come to: there is no time for them, or another reason.
  if (ends() || std::exchange(core_->renewed, false)) retry_.Reset();
  return !OverLocked();
}

}  // namespace backstay
