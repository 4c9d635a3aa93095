// CaptureLoop, the part that keeps the outbox bounded.

#include "uploader/engine/capture_loop.h"

namespace backstay {

// A repair begins only behind what waits already, so that it may go beyond the limit.
bool CaptureLoop::HasRoomLocked() const {
  return core_->outbox->pending_bytes() <= core_->options.settings.outbox_limit / 2;
}

void CaptureLoop::DropWaitingLocked() {
  slow_.Failed(
      "the outbox is full: its segments are replaced by one repair when the replica is back; "
      "single transactions of this time cannot be restored, unless outbox-limit is larger",
      {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
  core_->CollapseLocked(core_->ship.shipped);
}

// What waits goes out as it is, so that the replica comes from one restore point to the next.
void CaptureLoop::CrowdedLocked() {
  slow_.Failed(
      "the outbox is full, since the replica takes less than is committed: what is committed from "
      "here on follows in one repair, and single transactions of it cannot be restored",
      {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
  core_->NeedRepairLocked(RepairNeed::kUnknown);
}

// What a later life finds grows old while the outbox rests.
void CaptureLoop::SaveIfDueLocked() {
  if (!core_->life.whole()) return;
  const int64_t now = core_->options.clock->MonotonicMs();
  const bool again = core_->outbox->resting() && now >= save_at_ms_;
  if (core_->outbox->file_bytes() <= core_->save_above && !again) return;
  save_at_ms_ = now + kLocalRetryMs;
  core_->SaveIndexLocked();
}

}  // namespace backstay
