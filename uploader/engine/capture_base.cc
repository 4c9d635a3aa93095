// CaptureLoop, the part for a database that gets another page size: what is made for one is let go
// of, and the log begins a new base (uploader/format/README.md).

#include <algorithm>
#include <string>

#include "uploader/engine/capture_loop.h"

namespace backstay {

bool CaptureLoop::HasOtherPageSize(const Handover::Batch& batch) const {
  if (batch.look && IsOther(batch.look->page_size)) return true;
  return std::any_of(batch.transactions.begin(), batch.transactions.end(),
                     [this](const TransactionPtr& each) { return IsOther(each->page_size); });
}

bool CaptureLoop::IsOther(uint32_t page_size) const {
  return page_size != 0 && page_size != core_->identity.page_size;
}

// Everything that is made for one page size is let go of; the next pass opens the database again.
void CaptureLoop::ReadAnewLocked() {
  core_->DistrustLocked();
  retry_at_ms_ = core_->options.clock->MonotonicMs() + kRetryMs;
}

// A transaction that is not over, or has to be played back, may have written another page size.
bool CaptureLoop::PageSizeChangesLocked() {
  return core_->handover.Open() || core_->WriteActive() || core_->IsReplaced();
}

// What was encoded stays as it is, and is shipped before the log says that the page size is
// another.
void CaptureLoop::BeginBaseLocked(uint32_t page_size) {
  Core* core = core_;
  core->Log(Level::kInfo, "the page size of the database changed from " +
                              std::to_string(core->identity.page_size) + " to " +
                              std::to_string(page_size) +
                              ": the replica goes on with a new first snapshot, and the states "
                              "before stay restorable");
  core->identity.page_size = page_size;
  const auto& pending = core->outbox->pending();
  LogHead head = pending.empty() ? core->ship.shipped : pending.back().head;
  head.open = false;
  core->capture->SetState(head, {}, {});
  if (core->ship.epoch != 0) core->LeaveBaseLocked();
}

// What was committed before the page size changed is the end of the old base.
void CaptureLoop::DrainBaseLocked(const Handover::Batch& batch) {
  const uint32_t own = core_->identity.page_size;
  const auto& all = batch.transactions;
  const auto end = std::find_if(all.begin(), all.end(), [own](const TransactionPtr& each) {
    return !each->complete || each->page_size != own;
  });
  if (!batch.foreign) EncodeLocked({all.begin(), end});
  ReadAnewLocked();
}

// In this order: the index alone would go on with what the outbox says of the old base.
void CaptureLoop::SaveBaseLocked() {
  Status saved = core_->outbox->Compact();
  if (saved.ok()) saved = core_->outbox->AppendShip(core_->ship);
  if (!saved.ok()) return Failed(saved);
  core_->SaveIndexLocked();
}

}  // namespace backstay
