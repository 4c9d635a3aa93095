#include "uploader/engine/capture_loop.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <optional>
#include <thread>
#include <utility>

#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

constexpr int64_t kMaxHoldMs = 1000;  // a commit is encoded after this at the latest
constexpr uint32_t kMaxHoldFrames = 256;
constexpr int kMaxClosedTries = 10;
constexpr int kLookTries = 20;  // 1 ms each

}  // namespace

void CaptureLoop::HostOpened(const FileStamp& stamp) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  core_->board.Opened();
  open_stamp_ = stamp;
  relocate_ = true;
  core_->placed = false;
}

std::optional<int64_t> CaptureLoop::Step() {
  if (!lock_) {
    const Next locked = TakeLock();
    if (locked != kNow) return locked;
    poll_at_ms_ = NextPoll();
  }
  // Once, unless memory runs out in it.
  if (!core_->neighbours.leads()) {
    core_->neighbours.Lead();
    tick_();
  }
  NoteBoard::Work work;
  if (const Next due = WaitForWork(&work); due != kNow) {
    if (!due) LeaveState();
    return due;
  }
  // What lies in another folder at that path is another process's.
  if (HoldsLock()) core_->neighbours.Attend();
  Pass(work);
  poll_at_ms_ = NextPoll();
  core_->ThreadWorks();
  tick_();
  if (Ended()) LeaveState();
  // Behind what else is due by now.
  return core_->options.clock->MonotonicMs();
}

// At the same moments for all databases: one wake-up is enough for them.
int64_t CaptureLoop::NextPoll() const {
  const int64_t now = core_->options.clock->MonotonicMs();
  return (now / kPollMs + 1) * kPollMs;
}

int64_t CaptureLoop::DueAtMs() const {
  int64_t latest = first_commit_ms_ + kMaxHoldMs;
  if (!core_->ship_idle.load()) return latest;
  return std::min(latest, core_->last_put_start_ms.load() + core_->upload_interval_ms.load());
}

// A pass is due; else when it will be, unless the board wakes before; nothing: stop.
CaptureLoop::Next CaptureLoop::WaitForWork(NoteBoard::Work* work) {
  for (;;) {
    const int64_t now = core_->options.clock->MonotonicMs();
    const bool retrying = retry_at_ms_ != 0;
    const int64_t until = retrying ? retry_at_ms_ : pending_ ? DueAtMs() : poll_at_ms_;
    if (until <= now) {
      *work = core_->board.Now();
      return work->stop ? Next() : kNow;
    }
    WalMark encoded;
    // What a pass would not encode now must not ask for one either: it would be asked for at once
    // again.
    bool encodes = false;
    {
      std::lock_guard<std::mutex> lock(core_->mutex);
      encodes = core_->life.open() && !core_->life.ended() && !retrying && core_->life.whole();
      if (encodes) encoded = core_->capture->place().wal();
    }
    const auto taken = core_->board.Take(seen_ticket_, !pending_ && !retrying, encoded,
                                         encodes ? kMaxHoldFrames : UINT32_MAX);
    if (!taken) return until;
    *work = *taken;
    if (work->stop) return std::nullopt;
    if (work->ticket > seen_ticket_) return kNow;
    if (work->commits && !pending_) {
      pending_ = true;
      first_commit_ms_ = work->first_commit_ms;
    }
    if (ManyWait(encodes, retrying)) return kNow;
  }
}

// So much waits that a pass is due whatever else is, or what a repair waited for has come.
bool CaptureLoop::ManyWait(bool encodes, bool retrying) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  const std::optional<WalTarget> latest = core_->board.Latest();
  if (encodes && latest && core_->capture->place().Behind(*latest) >= kMaxHoldFrames) return true;
  if (encodes && core_->handover.queued_pages() >= kMaxHoldFrames) return true;
  return !core_->life.whole() && !core_->UnhealthyLocked() && !retrying;
}

void CaptureLoop::Pass(const NoteBoard::Work& work) {
  uint64_t ticket = work.ticket;
  seen_ticket_ = ticket;
  pending_ = false;
  retry_at_ms_ = 0;
  std::unique_lock<std::mutex> lock(core_->mutex);
  core_->lag.Waits(core_->board.TakeCommits());
  try {
    EndIfLostLocked();
    EndIfRemovedLocked();
    if (!core_->life.ended()) PassLocked(ticket, &lock);
    EndIfReplacedLocked();
    core_->RemindLocked();
    // What a repair has seen since is not answered by this pass.
    seen_ticket_ = ticket;
    // Outside the lock, which whoever wakes would wait for first.
    lock.unlock();
    core_->ship_work.notify_all();
  } catch (const std::exception&) {
    // Out of memory in the middle of a change. Step() ends and is called again.
    if (!lock.owns_lock()) lock.lock();
    retry_at_ms_ = core_->options.clock->MonotonicMs() + kRetryMs;
    core_->DistrustLocked();
    throw;
  }
}

// Without them nothing is certain: another process may ship by now, and what waits is not to be
// had. The next open starts from the state folder, as behind a crash.
void CaptureLoop::EndIfLost() {
  std::unique_lock<std::mutex> lock(core_->mutex, std::defer_lock);
  for (int i = 0; !lock.try_lock(); i++) {
    if (i == kLookTries) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EndIfLostLocked();
}

void CaptureLoop::EndIfLostLocked() {
  const bool outbox = core_->outbox != nullptr && core_->outbox->lost();
  if (!lock_ || (lock_->Holds() && !outbox && !core_->options.host->Lost())) return;
  core_->LetGoLocked({Code::kIo,
                      "the application has closed descriptors that Backstay had opened "
                      "(closerange?), so that they are left alone; it goes on by "
                      "itself, of a closed database with the next open"},
                     Level::kWarn);
}

void CaptureLoop::PassLocked(uint64_t ticket, std::unique_lock<std::mutex>* lock) {
  guessed_ = false;
  std::optional<NoteBoard::Gone> gone = core_->board.TakeGone();
  const bool looked = !core_->handover.rollback() || core_->handover.Poll();
  const bool left_wal = LeaveWalLocked();
  // In this order: what is handed over before a WAL begins is encoded before it.
  std::optional<WalTarget> to = Target();
  const bool ready = core_->life.open();
  if (!ready && !(to && OpenLocked(*to))) {
    // Opening compares with the files, so nothing that the WAL holds now has to be waited for.
    core_->board.DoneFinish(ticket);
    if (to && retry_at_ms_ == 0) {
      retry_at_ms_ = core_->options.clock->MonotonicMs() + kLocalRetryMs;
    }
    return;
  }
  room_.PassBegins(core_->outbox->waiting_bytes());
  if (!PageSizeHoldsLocked()) return core_->board.DoneFinish(ticket);
  // Opening has looked at the files behind it.
  if (gone && ready) WalGoneLocked(*gone);
  if (to && to->at_rest() && core_->WriteActive()) {
    // Another process writes to the file without a WAL.
    retry_at_ms_ = core_->options.clock->MonotonicMs() + kRetryMs;
    return core_->board.DoneFinish(ticket);
  }
  const bool moved = to && (relocate_ || left_wal || !to->rollback);
  if (moved && !FollowTrailLocked(*to) && left_wal) MissedLocked();
  if (relocate_ && !to) return core_->board.DoneFinish(ticket);
  if (relocate_) RelocateLocked(*to);
  DrainLocked(to);
  if (!core_->life.open()) return core_->board.DoneFinish(ticket);
  if (to) AdvanceAllLocked(*to);
  if (retry_at_ms_ != 0) return;
  NeedUnknownLocked();
  bool whole = core_->life.whole() || (to && RepairLocked(lock));
  const bool again = core_->board.SyncWaits() || core_->handover.unexplained();
  if (!looked && retry_at_ms_ == 0 && again) {
    retry_at_ms_ = core_->options.clock->MonotonicMs() + kRetryMs;
  }
  SettleStampLocked();
  AfterLocked(ticket, whole && looked);
}

// The wal-index may tell of the next WAL already while the file still holds the frames of the last
// one.
void CaptureLoop::AdvanceAllLocked(const WalTarget& to) {
  if (to.rollback) return AdvanceLocked(to);
  // `to` was asked for before its WAL had a frame, and what was noted after.
  bool overtaken = false;
  for (const auto& noted : {core_->board.Before(), core_->board.Latest()}) {
    if (!noted || noted->SameWal(to)) continue;
    if (retry_at_ms_ != 0 || !core_->capture->Holds(*noted)) continue;
    AdvanceLocked(*noted);
    overtaken = to.max_frame == 0 && static_cast<int32_t>(noted->change - to.change) > 0;
  }
  // In EXCLUSIVE locking mode nobody counts the commits; but nobody else makes any either.
  std::optional<WalTarget> before = core_->board.Before();
  if (before && core_->capture->place().Behind(*before) == 0) core_->capture->AnnounceRestart();
  if (retry_at_ms_ == 0 && !overtaken) AdvanceLocked(to);
}

void CaptureLoop::AdvanceLocked(const WalTarget& to) {
  Capture* capture = core_->capture.get();
  bool encode = core_->EncodesLocked();
  Result<bool> advanced = encode ? capture->Advance(to) : capture->Skip(to);
  if (advanced.ok() && *advanced) {
    stale_tries_ = 0;
    // Before anything else is encoded: a transaction may stand open.
    NeedUnknownLocked();
    SayBareLocked();
    if (!core_->outbox->resting()) {
      core_->local.Recovered("the state folder and the database's files can be used again",
                             {{"db", core_->options.settings.path}});
    } else if (const Status& kept = capture->encoder()->outbox_status(); !kept.ok()) {
      Failed({kept.code(), kept.message() + core_->FolderRemedy()});
    }
    return;
  }
  // With the database closed here nobody but another process has more to say.
  const int tries = core_->options.host->InUse() ? kMaxStaleTries : kMaxClosedTries;
  if (!advanced.ok() && advanced.status().retryable() && ++stale_tries_ < tries) {
    retry_at_ms_ = core_->options.clock->MonotonicMs() + kRetryMs;
    return;
  }
  stale_tries_ = 0;
  if (core_->IsAway()) return AwayLocked();
  if (!advanced.ok() && advanced.status().code() != Code::kNotFound) Failed(advanced.status());
  // What waits for room, or for a repair, is not read while it is there.
  MissedLocked(encode && !slow_.failing() ? kByOthers : kTooLate);
}

// A commit that begins the WAL anew waits for what it holds. A repair that can begin at once ships
// the rest of a long transaction as well, from the database file.
bool CaptureLoop::IsHurriedLocked() {
  return core_->ship.restorable && !core_->UnhealthyLocked() && !core_->life.leaves() &&
         core_->board.CommitWaits();
}

// What is unknown is in no segment: nobody may take it for shipped.
void CaptureLoop::NeedUnknownLocked() {
  const bool lacks = core_->ship.restorable && core_->index->unknown() != 0;
  if (lacks && core_->life.whole()) core_->NeedRepairLocked(RepairNeed::kSome);
}

bool CaptureLoop::RepairLocked(std::unique_lock<std::mutex>* lock) {
  // What the copy has read of pages that are compared may be anything; those that are unknown go
  // out anyhow, and are replayed on top of it.
  if (core_->life.need() == RepairNeed::kAll) core_->AbortSnapshotLocked();
  if (!core_->ship.restorable &&
      !(core_->copy.has_all() && core_->life.need() != RepairNeed::kAll)) {
    core_->AbortSnapshotLocked();
    // Nothing can be restored yet, so nothing has to be repaired: the first snapshot starts over.
    const WalTarget to = FreshTargets().back();
    if (Settles(to)) {
      retry_at_ms_ = core_->options.clock->MonotonicMs() + kRetryMs;
      return false;
    }
    if (Status status = core_->capture->StartFresh(to); !status.ok()) {
      retry_at_ms_ = core_->options.clock->MonotonicMs() + kLocalRetryMs;
      Failed(status);
      return false;
    }
    core_->life.On(Life::Compared{});
    core_->VoidSnapshotLocked();
    core_->ship_work.notify_all();
    return true;
  }
  if (core_->UnhealthyLocked()) return false;
  if (!HasRoomLocked()) {
    retry_at_ms_ = core_->options.clock->MonotonicMs() + kRoomMs;
    return false;
  }
  const RepairNeed need = core_->life.need();
  repair_run_ = core_->life.generation();
  LogHead before = core_->capture->encoder()->head();
  Status repaired = RepairByLocked(need == RepairNeed::kAll, lock);
  const LogHead& after = core_->capture->encoder()->head();
  if (!repaired.ok()) {
    core_->NeedRepairLocked(RepairNeed::kAll);
    const bool ended = core_->IsAway() && !core_->options.host->InUse();
    if (ended && repaired.code() == Code::kUnavailable) return AwayLocked(), false;
    // Interrupted, or overtaken by a restart of the WAL or another program: no failure, only once
    // more.
    bool soon = repaired.code() == Code::kCancelled || !core_->handover.rollback();
    bool again = repaired.code() == Code::kCancelled || repaired.code() == Code::kUnavailable;
    retry_at_ms_ = core_->options.clock->MonotonicMs() + (again && soon ? kRetryMs : kLocalRetryMs);
    if (!again) Failed(repaired);
    return false;
  }
  core_->life.On(Life::Compared{});
  slow_.Recovered("the outbox has room again",
                  {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
  core_->lag.WaitsFor(after.segment_number);
  // Daily business where processes write without a WAL.
  if (need == RepairNeed::kSome) return true;
  core_->Log(Level::kInfo, "replica and database compared; shipped the difference in " +
                               std::to_string(after.segment_number - before.segment_number) +
                               " segments");
  core_->SaveIndexLocked();
  return true;
}

// Lets shipping go on and answers finish_wal(); holds the repair back while the outbox is full.
bool CaptureLoop::YieldRepair(std::unique_lock<std::mutex>* lock, bool waiting) {
  constexpr int64_t kWaitMs = 10;
  core_->ship_work.notify_all();
  // One that is no larger than the outbox goes there whole: what is committed meanwhile comes on
  // top.
  const uint64_t left = uint64_t{core_->index->unknown()} * core_->identity.page_size;
  const bool large =
      core_->life.need() == RepairNeed::kAll || left > core_->options.settings.outbox_limit;
  const bool full = large && !HasRoomLocked();
  lock->unlock();
  takes_long_();
  int64_t until = core_->options.clock->MonotonicMs() + (full ? kRoomMs : waiting ? kWaitMs : 0);
  // The status tells how long something waits, also through a comparison of many pages.
  tick_();
  // Tickets seen by an earlier yield have been merged since.
  core_->board.DoneFinish(seen_ticket_);
  NoteBoard::Work work = core_->board.Wait(until, seen_ticket_, false, {}, UINT32_MAX);
  seen_ticket_ = work.ticket;
  lock->lock();
  // A comparison may take longer than another process needs to take over.
  EndIfLostLocked();
  EndIfRemovedLocked();
  return !work.stop && !core_->life.ended() && core_->life.generation() == repair_run_;
}

void CaptureLoop::AfterLocked(uint64_t ticket, bool whole) {
  Outbox* outbox = core_->outbox.get();
  uint64_t segment = core_->capture->encoder()->head().segment_number;
  const bool outage = core_->UnhealthyLocked();
  if (!room_.Fits(outbox->waiting_bytes(), outage)) {
    outage ? DropWaitingLocked() : CrowdedLocked();
    whole = false;
  }
  if (whole && !guessed_ && core_->copy.seeks_end()) static_cast<void>(core_->EndCopyLocked());
  core_->SettleLagLocked();
  SaveIfDueLocked();
  core_->placed = true;
  core_->guessed = guessed_;
  // With a repair due, the state at its end covers whatever the WAL held.
  whole ? core_->board.Done(ticket, segment, !guessed_) : core_->board.DoneFinish(ticket);
}

void CaptureLoop::Failed(const Status& status) {
  core_->local.Failed(status.message(),
                      {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
}

}  // namespace backstay
