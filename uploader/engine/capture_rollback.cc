// CaptureLoop, the part for rollback-journal modes: transactions come through the Handover, and the
// database file alone is compared.

#include <algorithm>
#include <string>
#include <utility>

#include "uploader/engine/capture_loop.h"

namespace backstay {

// A program without Backstay may go on and on: an alert is worth having once.
void CaptureLoop::MissedLocked(const char* cause) {
  constexpr int64_t kMissedAgainMs = 30000;
  // A comparison that is due already has its own reason.
  if (core_->life.need() != RepairNeed::kAll) {
    const int64_t now = core_->options.clock->MonotonicMs();
    const bool again = missed_said_ms_ && now - *missed_said_ms_ < kMissedAgainMs;
    if (!again) missed_said_ms_ = now;
    core_->Log(again ? Level::kInfo : Level::kWarn,
               std::string("commits were missed (") + cause + "); comparing all pages");
  }
  core_->NeedRepairLocked(RepairNeed::kAll);
}

// Encodes what was handed over. `to` was asked for before.
void CaptureLoop::DrainLocked(const std::optional<WalTarget>& to) {
  Capture* capture = core_->capture.get();
  Handover::Batch batch = core_->handover.Take();
  if (HasOtherPageSize(batch)) return DrainBaseLocked(batch);
  // The start of the next WAL tells it in another way.
  bool lost = std::exchange(unread_, false) && to && to->rollback;
  if ((batch.foreign || lost) && core_->life.need() != RepairNeed::kAll) {
    MissedLocked(batch.foreign ? kByOthers : kTooLate);
  }
  EncodeLocked(batch.transactions);
  std::optional<FileStamp> stamp = batch.entry ? batch.entry : batch.left;
  if (batch.entry) capture->SetEntryStamp(*batch.entry);
  bool file_counts = !batch.transactions.empty() || (to && to->rollback);
  if (batch.look && file_counts) stamp = batch.look->stamp;
  if (!stamp || !capture->SetStamp(*stamp)) return;
  if (!core_->EncodesLocked()) return;
  if (Status kept = core_->outbox->AppendStamp(*stamp); !kept.ok()) Failed(kept);
}

void CaptureLoop::EncodeLocked(const std::vector<TransactionPtr>& transactions) {
  Capture* capture = core_->capture.get();
  auto next = transactions.begin();
  while (core_->EncodesLocked() && next != transactions.end()) {
    auto end = std::find_if(next, transactions.end(), [](const TransactionPtr& transaction) {
      return !transaction->has_images();
    });
    Status encoded = capture->EncodeTransactions({next, end});
    if (encoded.ok()) encoded = capture->encoder()->outbox_status();
    if (!encoded.ok()) Failed(encoded);
    if (!encoded.ok()) core_->copy.Forget();
    next = end;
    if (next != transactions.end()) SkipLocked(**next++);
    // While the first copy is made the index still lacks what is not copied yet: what else is
    // unknown waits until it has all.
    const bool lacks = core_->ship.restorable || core_->copy.has_all();
    if (lacks && core_->index->unknown() != 0) core_->NeedRepairLocked(RepairNeed::kSome);
  }
  // When all pages are to be compared the index has to stay what the replica has.
  if (core_->life.need() == RepairNeed::kAll) return;
  for (; next != transactions.end(); ++next) SkipLocked(**next);
}

// No segment holds it before a first copy ends: the next process would know its pages, and the size
// of the database, as they were.
void CaptureLoop::SkipLocked(const Transaction& transaction) {
  core_->capture->SkipTransaction(transaction);
  if (!core_->ship.restorable) core_->copy.Forget();
}

Status CaptureLoop::RepairByLocked(bool all, std::unique_lock<std::mutex>* lock) {
  std::optional<WalTarget> target = Target();
  if (target && target->rollback) {
    Status repaired = core_->capture->RepairFile(all, Follower(lock));
    core_->handover.Keep(false);
    if (repaired.ok()) crowd_.Over();
    return repaired;
  }
  if (target && Settles(*target)) return {Code::kCancelled, "the file was just changed", true};
  // Pages read from the file count only while nobody writes to it without a WAL.
  const uint64_t begun = core_->handover.begun();
  const FileStamp before = StampOf(core_->options.settings.path);
  auto fresh = [this, begun, before] {
    std::vector<WalTarget> targets = FreshTargets();
    const bool changed =
        targets.back().at_rest() && before != StampOf(core_->options.settings.path);
    const bool same = !changed && core_->handover.begun() == begun && PageSizeHoldsLocked();
    return same ? targets : std::vector<WalTarget>();
  };
  return core_->capture->Repair(all, fresh,
                                [this, lock] { return YieldRepair(lock, /*waiting=*/false); });
}

FileFollower CaptureLoop::Follower(std::unique_lock<std::mutex>* lock) {
  FileFollower file;
  file.take = [this] { return TakeChanges(); };
  file.begun = [this] { return core_->handover.begun(); };
  file.settled = [this](uint64_t begun) -> Result<bool> {
    Handover::Settled settled = core_->handover.SettledSince(begun);
    if (settled != Handover::Settled::kForeign) return settled == Handover::Settled::kYes;
    return Status(Code::kUnavailable, "another program writes to the database", true);
  };
  file.yield = [this, lock](bool waiting) { return YieldRepair(lock, waiting); };
  file.keep = [this](int tries) {
    core_->handover.Keep(tries >= kTriesBeforeKeeping);
    if (tries > 0) crowd_.Tried();
  };
  file.let = [this] { core_->handover.Keep(false); };
  return file;
}

Result<FileFollower::Changes> CaptureLoop::TakeChanges() {
  Handover::Batch batch = core_->handover.Take();
  if (HasOtherPageSize(batch)) {
    ReadAnewLocked();
    return Status(Code::kCancelled, "the page size changed", true);
  }
  if (batch.foreign) {
    return Status(Code::kUnavailable, "another program writes to the database", true);
  }
  if (!batch.look || Fresh()) return Status(Code::kCancelled, "the journal mode changed", true);
  return FileFollower::Changes{std::move(batch.transactions), batch.look->pages, batch.look->stamp};
}

}  // namespace backstay
