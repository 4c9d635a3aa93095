// CaptureLoop, the part that becomes the one which ships: one process at a time does.

#include <optional>
#include <utility>

#include "uploader/engine/capture_loop.h"

namespace backstay {
namespace {

constexpr int kOrphanTries = 100;
constexpr int64_t kOtherMs = 2000;

}  // namespace

// It is known where the database stands: a process that cannot map the wal-index, or has not yet,
// keeps no other from shipping. Else when to look again; nothing: stop.
CaptureLoop::Next CaptureLoop::AwaitTarget() {
  for (;;) {
    {
      std::lock_guard<std::mutex> lock(core_->mutex);
      if (Target()) return kNow;
    }
    core_->board.DoneFinish(candidate_.seen);
    tick_();
    const int64_t until = core_->options.clock->MonotonicMs() + kPollMs;
    const auto work = core_->board.Take(candidate_.seen, true, {}, UINT32_MAX);
    if (!work) return until;
    if (work->stop) return std::nullopt;
    candidate_.seen = work->ticket;
    // What was committed there is not taken before a pass: it would be asked for again at once.
    if (work->commits) return core_->options.clock->MonotonicMs() + kRetryMs;
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

void CaptureLoop::LeadLocked(FolderLock lock) {
  if (candidate_.dropped) {
    // What was written meanwhile counts as part of the file.
    const FileLook look = core_->options.host->Look(core_->options.settings.path);
    core_->handover.Activate(look);
    open_stamp_ = look.stamp;
  }
  core_->life.On(Life::Leads{});
  core_->local_error = Status::Ok();
  // Last: should memory run out before, all of it is done again.
  lock_.emplace(std::move(lock));
}

// Another process ships this database (`held`), or nobody can be told to.
void CaptureLoop::LetLead(const Status& why) {
  const bool held = why.code() == Code::kExists;
  {
    std::lock_guard<std::mutex> guard(core_->mutex);
    held ? core_->life.On(Life::Follows{}) : core_->life.On(Life::Leads{});
    if (!held) core_->local_error = why;
  }
  core_->placed = true;
  if (!held) Failed(why);
  // May wait for the page of the one that ships.
  takes_long_();
  held ? core_->neighbours.Follow() : core_->neighbours.Alone();
  if (!held) core_->board.Trouble();
  // Nobody takes here what is handed over.
  if (!std::exchange(candidate_.dropped, true)) core_->handover.Deactivate();
  if (held && !std::exchange(candidate_.told, true)) core_->Log(Level::kInfo, why.message());
  if (held) SayOther(&candidate_.other_since_ms);
}

// This process is the one that ships this database; else when to try again; nothing: stop.
CaptureLoop::Next CaptureLoop::TakeLock() {
  if (!candidate_.tries) {
    const Next found = AwaitTarget();
    if (found != kNow) return found;
    candidate_.tries = true;
  }
  for (;;) {
    if (candidate_.waits && !Heard(core_->board.Now())) return std::nullopt;
    Result<FolderLock> lock =
        FolderLock::Take(core_->options.folder, core_->options.settings.path, core_->options.locks);
    if (lock.ok()) {
      std::lock_guard<std::mutex> guard(core_->mutex);
      LeadLocked(std::move(*lock));
      return kNow;
    }
    candidate_.waits = true;
    LetLead(lock.status());
    tick_();
    // The lock of one that has left is free in a moment, and so is the page of the next one.
    candidate_.orphaned = core_->neighbours.Orphaned() ? candidate_.orphaned + 1 : 0;
    const bool soon = candidate_.orphaned > 0 && candidate_.orphaned <= kOrphanTries;
    const int64_t until = core_->options.clock->MonotonicMs() + (soon ? kRetryMs : kLocalRetryMs);
    if (!core_->board.Take(seen_ticket_, false, {}, UINT32_MAX)) return until;
  }
}

bool CaptureLoop::Heard(const NoteBoard::Work& work) {
  if (work.stop) return false;
  seen_ticket_ = work.ticket;
  core_->board.DoneFinish(work.ticket);
  return true;
}

}  // namespace backstay
