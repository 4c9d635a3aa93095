#include "uploader/engine/shipper.h"

#include <algorithm>
#include <chrono>

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
  if (!Connect()) return;
  while (WaitForSegments()) Ship();
}

bool Shipper::Connect() {
  {
    std::unique_lock<std::mutex> lock(core_->mutex);
    core_->ship_work.wait(lock, [&] { return OverLocked() || core_->ReadyLocked(); });
  }
  for (;;) {
    {
      std::lock_guard<std::mutex> lock(core_->mutex);
      if (OverLocked()) return false;
    }
    Status status = log_.Connect();
    if (status.ok()) break;
    if (IsFinal(status)) {
      core_->Stop(status);
      return false;
    }
    if (!PauseAfter(status)) return false;
  }
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    core_->connected = true;
    core_->board.Shipped(core_->ship.shipped.segment_number, core_->ship.restorable);
  }
  Succeeded();
  core_->Log(Level::kInfo, "replication started");
  return true;
}

// Returns when segments wait or the replica has to be probed; starts jobs meanwhile. False: stop.
bool Shipper::WaitForSegments() {
  for (;;) {
    // A snapshot or a pack of what has gone from the bucket would hide the loss.
    const bool look = (jobs_->BuildDue() && log_.LookStale()) || log_.LastLookDue();
    if (look && !Settled(log_.Look())) return false;
    if (GlanceWanted() && !Settled(log_.Glance())) return false;
    jobs_->StartDue();
    std::unique_lock<std::mutex> lock(core_->mutex);
    if (OverLocked()) return false;
    if (core_->ReadyLocked() && WaitsLocked()) return true;
    if (!core_->last_error.ok()) return true;
    if (core_->looks.wanted()) continue;
    if (!core_->ship_idle.exchange(true)) core_->board.Poke();
    core_->ship_work.wait_for(lock, kJobCheck);
  }
}

bool Shipper::GlanceWanted() const {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return core_->looks.wanted() && core_->last_error.ok();
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
  return core_->ship.new_base || !core_->outbox->pending().empty();
}

bool Shipper::PressesLocked() const {
  const uint64_t part = core_->options.settings.outbox_limit / kPressingShare;
  return core_->ReadyLocked() &&
         core_->outbox->pending_bytes() >= std::min(LogWriter::kMaxBatchBytes, part);
}

bool Shipper::WaitForInterval() {
  for (;;) {
    int64_t now = core_->options.clock->MonotonicMs();
    int64_t due = core_->last_put_start_ms.load() + core_->options.settings.min_interval_ms;
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
        {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
    status = GlanceIfDue();
  }
  (void)Settled(status);
}

// What a request to the replica means for the pipeline. False: it is over.
bool Shipper::Settled(const Status& status) {
  if (status.ok()) return Succeeded(), true;
  if (IsFinal(status)) return core_->Stop(status), false;
  return PauseAfter(status);
}

void Shipper::Succeeded() {
  bool was_failing = false;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    was_failing = !core_->last_error.ok();
    core_->last_error = Status::Ok();
  }
  backoff_.Reset();
  core_->ThreadWorks();
  if (was_failing) core_->board.Poke();
  core_->shipping.Recovered(
      "the replica is reachable again",
      {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
  core_->contended.Recovered(
      "no other writer has taken the replica over",
      {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
}

// Notes the failure and waits before the next try. False: stop.
bool Shipper::PauseAfter(const Status& status) {
  {
    // A request that our own end has cancelled is no failure of the replica.
    std::lock_guard<std::mutex> lock(core_->mutex);
    if (core_->stopping) return false;
  }
  LastingProblem& problem = status.code() == Code::kContended ? core_->contended : core_->shipping;
  problem.Failed("the replica cannot be written: " + status.message(),
                 {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
  int64_t wait = backoff_.Next(core_->options.client->RetryAfterMs());
  std::unique_lock<std::mutex> lock(core_->mutex);
  core_->last_error = status;
  if (core_->ending == Ending::kBegun) core_->ending = Ending::kTried;
  core_->board.Trouble();
  const auto ends = [this] { return core_->ending == Ending::kBegun; };
  core_->ship_work.wait_for(lock, std::chrono::milliseconds(wait),
                            [&] { return OverLocked() || ends(); });
  // Whatever the pauses had come to: there is no time for them.
  if (ends()) backoff_.Reset();
  return !OverLocked();
}

}  // namespace backstay
