#include "uploader/engine/jobs.h"

#include <algorithm>
#include <chrono>

#include "uploader/base/caught.h"

namespace backstay {
namespace {

constexpr uint64_t kMinSnapshotLogBytes = 4
                                          << 20;  // below this a replay costs less than a snapshot
constexpr int64_t kFirstPauseMs = 10000;
constexpr int64_t kMaxPauseMs = 300000;
constexpr int kQuietTries = 2;  // a hiccup is nobody's business

}  // namespace

const char* Jobs::NameOf(Job job) {
  switch (job) {
    case Job::kSnapshot: return "snapshot";
    case Job::kPack: return "pack";
    case Job::kPrune: return "retention";
    case Job::kNone: break;
  }
  return "";
}

Jobs::Job Jobs::Due() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (!core_->life.open() || core_->UnhealthyLocked() || core_->life.stops() ||
      core_->life.ended()) {
    return Job::kNone;
  }
  // Another process's log, until this one has something to append to it.
  if (core_->ship.writer_id == 0) return Job::kNone;
  // First: under a load that keeps the others due all the time, most of what is old piles up.
  if (PruneDue()) return Job::kPrune;
  if (SnapshotDueLocked() && core_->CopyMayBeginLocked() && !core_->LeavesCopyLocked()) {
    return Job::kSnapshot;
  }
  if (packer_.DueLocked()) return Job::kPack;
  return Job::kNone;
}

// By age only where there is something that the last one does not hold: an idle database has none.
bool Jobs::SnapshotDueLocked() const {
  const ShipState& ship = core_->ship;
  if (!ship.restorable || core_->copy.waits() ||
      ship.log_bytes > std::max(ship.snapshot_bytes, kMinSnapshotLogBytes)) {
    return true;
  }
  const int64_t interval_ms = core_->snapshot_interval_ms.load();
  if (interval_ms == 0 || ship.log_bytes == 0 || core_->snapshot_ms == 0) return false;
  return core_->options.clock->WallMs() - core_->snapshot_ms >= interval_ms;
}

bool Jobs::Free() {
  if (running_.load()) return false;
  if (core_->options.clock->MonotonicMs() >= not_before_ms_) return true;
  if (!blind_) return false;
  std::lock_guard<std::mutex> lock(core_->mutex);
  return !core_->guessed;
}

bool Jobs::SnapshotDue() { return Free() && Due() == Job::kSnapshot; }

Status Jobs::Pack() {
  bool packed = false;
  BACKSTAY_TRY(packer_.Run(&packed));
  if (packed) ReplicaGrew(std::nullopt);
  return Status::Ok();
}

void Jobs::StartDue() {
  if (!Free()) return;
  Stop();
  Job job = Due();
  if (job == Job::kNone) return;
  blind_ = false;
  running_ = true;
  if (!thread_.Start("backstay-job", [this, job] { Run(job); })) {
    Pause();
    running_ = false;
    LastingProblem* problem = job == Job::kPrune ? &core_->retention : &core_->jobs;
    problem->Failed(std::string(NameOf(job)) + " cannot be begun: " + kNoThread,
                    {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
  }
}

void Jobs::Run(Job job) {
  problem_ = job == Job::kPrune ? &core_->retention : &core_->jobs;
  Status done = Caught([&] {
    switch (job) {
      case Job::kSnapshot: return Snapshot();
      case Job::kPack: return Pack();
      case Job::kPrune: return Prune();
      case Job::kNone: break;
    }
    return Status::Ok();
  });
  (void)Caught([&] { return Ended(job, done), Status::Ok(); });
  running_ = false;
  core_->ship_work.notify_all();
}

void Jobs::Ended(Job job, const Status& done) {
  if (done.ok()) {
    retry_.Reset();
    pause_ms_ = 0;
    problem_->Recovered(
        std::string(NameOf(job)) + " works again",
        {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
  }
  if (done.ok() || done.code() == Code::kCancelled) return;
  if (job == Job::kPack) Pause();
  problem_->Failed(std::string(NameOf(job)) + " failed, will be tried again: " + done.message(),
                   {{"db", core_->options.settings.path}, {"replica", core_->options.replica}},
                   done.code());
  (void)Rest(0);
}

bool Jobs::Rest(int64_t asked_ms) {
  RetryWait wait(*retry_.Next({.asked_ms = asked_ms}),
                 [this] { return core_->options.client->RetryTurnMs(); });
  std::unique_lock<std::mutex> lock(core_->mutex);
  const auto over = [&] { return core_->life.over(); };
  while (const int64_t ms = over() ? 0 : wait.Next()) {
    core_->ship_work.wait_for(lock, std::chrono::milliseconds(ms), over);
  }
  return !over();
}

void Jobs::Pause() {
  pause_ms_ = std::clamp(pause_ms_ * 2, kFirstPauseMs, kMaxPauseMs);
  not_before_ms_ = core_->options.clock->MonotonicMs() + pause_ms_;
}

void Jobs::Stop() { thread_.Join(); }

bool Jobs::Stopping() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return core_->life.over();
}

// Says so, unless shipping fails, too, and says it.
void Jobs::Waits(const Status& why) {
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    if (!core_->last_error.ok()) return;
  }
  problem_->Failed("a snapshot, pack or retention has to wait: " + why.message(),
                   {{"db", core_->options.settings.path}, {"replica", core_->options.replica}},
                   why.code());
}

Status Jobs::Persist(const std::function<Status()>& attempt) {
  for (int failed = 1;; ++failed) {
    Status status = attempt();
    if (status.ok() || !status.retryable()) return status;
    if (failed > kQuietTries) Waits(status);
    if (!Rest(core_->options.client->RetryAfterMs())) {
      return {Code::kCancelled, "replication is ending"};
    }
  }
}

}  // namespace backstay
