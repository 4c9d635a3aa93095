// CaptureLoop, the part that leaves things as the next start, or the next WAL, needs them: what the
// database file is where it alone is the database.

#include "uploader/engine/capture_loop.h"

namespace backstay {

// The database file alone is the database now: its stamp tells later whether anybody changed it.
void CaptureLoop::WalGoneLocked(const NoteBoard::Gone& gone) {
  Capture* capture = core_->capture.get();
  if (relocate_ && !gone.opened_since) {
    // Opened, read at most, and closed, between two passes.
    relocate_ = false;
    if (gone.last || gone.stamp != capture->place().file())
      core_->NeedRepairLocked(RepairNeed::kAll);
  }
  if (gone.began_anew && !capture->place().HasSeen(*gone.began_anew)) MissedLocked();
  // Recovered and checkpointed by a connection that told of no commit.
  if (!gone.last && gone.stamp != capture->place().file()) return;
  unread_ = gone.last && capture->place().Behind(*gone.last) > 0;
  if (!core_->life.whole() || unread_) return;
  capture->AnnounceRestart();
  capture->WalGone(gone.stamp);
  if (Status kept = core_->outbox->AppendStamp(gone.stamp); !kept.ok()) Failed(kept);
}

// Only a settled stamp counts at the next start: with another the file could have been changed
// without a trace after it was taken.
void CaptureLoop::SettleStampLocked() {
  Capture* capture = core_->capture.get();
  const FileStamp& old = capture->place().file();
  if (old.size < 0 || old.settled || unread_ || !core_->life.whole()) return;
  if (!core_->handover.Idle()) return;
  FileStamp now = StampOf(core_->options.settings.path);
  if (now != old || !now.settled) return;
  // Looked at behind the stamp: a commit of another program before it may not show in its times.
  if (core_->handover.rollback() && core_->handover.SettledSince(0) != Handover::Settled::kYes) {
    return;
  }
  capture->WalGone(now);
  if (Status kept = core_->outbox->AppendStamp(now); !kept.ok()) Failed(kept);
}

bool CaptureLoop::Ended() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return core_->life.ended();
}

// For the next start.
void CaptureLoop::LeaveState() {
  takes_long_();
  if (LacksSettledStamp()) (void)SettledStampOf(core_->options.settings.path);
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (!core_->life.open()) return;
  if (HoldsLock()) {
    if (!core_->life.whole()) core_->SaveIndexLocked();
    SettleStampLocked();
  }
  if (core_->life.ended()) core_->FreeLocked();
}

bool CaptureLoop::LacksSettledStamp() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (!core_->life.open()) return false;
  const FileStamp& stamp = core_->capture->place().file();
  return stamp.size >= 0 && !stamp.settled && stamp == StampOf(core_->options.settings.path);
}

}  // namespace backstay
