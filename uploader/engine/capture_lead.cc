// CaptureLoop, the part that becomes the one which ships: one process at a time does.

#include <optional>
#include <utility>

#include "uploader/engine/capture_loop.h"

namespace backstay {
namespace {

constexpr int kOrphanTries = 100;
constexpr int64_t kOtherMs = 2000;

}  // namespace

// Waits until it is known where the database stands: a process that cannot map the wal-index, or
// has not yet, keeps no other from shipping. False: stop.
bool CaptureLoop::AwaitTarget() {
  for (uint64_t seen = seen_ticket_;;) {
    {
      std::lock_guard<std::mutex> lock(core_->mutex);
      if (Target()) return true;
    }
    core_->board.DoneFinish(seen);
    tick_();
    const int64_t until = core_->options.clock->MonotonicMs() + kPollMs;
    NoteBoard::Work work = core_->board.Wait(until, seen, true, {}, UINT32_MAX);
    if (work.stop) return false;
    seen = work.ticket;
  }
}

// Who has the lock ships another file, which was replaced by this one, or nothing any more. One
// that is about to end is waited for first.
void CaptureLoop::SayOther(int64_t* since_ms) {
  const int64_t now = core_->options.clock->MonotonicMs();
  const bool other = core_->neighbours.ShipsOther();
  if (!other || *since_ms == 0) *since_ms = other ? now : 0;
  const bool lasts = other && now - *since_ms >= kOtherMs;
  const std::string why = core_->neighbours.Problem() +
                          "; this one is not replicated before it closes the database or ends";
  std::lock_guard<std::mutex> guard(core_->mutex);
  core_->local_error = lasts ? Status(Code::kUnavailable, why, true) : Status::Ok();
  if (!lasts) return;
  core_->options.logger->Remind(
      Level::kWarn, why,
      {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
}

// Waits until this process is the one that ships this database. False: stop.
bool CaptureLoop::TakeLock() {
  if (!AwaitTarget()) return false;
  const std::string& database = core_->options.settings.path;
  bool told = false;
  int orphaned = 0;
  int64_t other_since_ms = 0;
  for (bool dropped = false;;) {
    Result<FolderLock> lock =
        FolderLock::Take(core_->options.folder, database, core_->options.locks);
    if (lock.ok()) {
      std::lock_guard<std::mutex> guard(core_->mutex);
      lock_.emplace(std::move(*lock));
      core_->life.On(Life::Leads{});
      core_->local_error = Status::Ok();
      if (dropped) {
        // What was written meanwhile counts as part of the file.
        const FileLook look = core_->options.host->Look(database);
        core_->handover.Activate(look);
        open_stamp_ = look.stamp;
      }
      return true;
    }
    bool held = lock.status().code() == Code::kExists;
    {
      std::lock_guard<std::mutex> guard(core_->mutex);
      held ? core_->life.On(Life::Follows{}) : core_->life.On(Life::Leads{});
      if (!held) core_->local_error = lock.status();
    }
    core_->placed = true;
    if (!held) Failed(lock.status());
    held ? core_->neighbours.Follow() : core_->neighbours.Alone();
    if (!held) core_->board.Trouble();
    // Nobody takes here what is handed over.
    if (!std::exchange(dropped, true)) core_->handover.Deactivate();
    if (held && !std::exchange(told, true)) core_->Log(Level::kInfo, lock.status().message());
    if (held) SayOther(&other_since_ms);
    tick_();
    // The lock of one that has left is free in a moment, and so is the page of the next one.
    orphaned = core_->neighbours.Orphaned() ? orphaned + 1 : 0;
    const bool soon = orphaned > 0 && orphaned <= kOrphanTries;
    int64_t until = core_->options.clock->MonotonicMs() + (soon ? kRetryMs : kLocalRetryMs);
    NoteBoard::Work work = core_->board.Wait(until, seen_ticket_, false, {}, UINT32_MAX);
    if (work.stop) return false;
    seen_ticket_ = work.ticket;
    core_->board.DoneFinish(work.ticket);
  }
}

}  // namespace backstay
