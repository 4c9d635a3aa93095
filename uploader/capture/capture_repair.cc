// Capture, the part that repairs in WAL mode: pages that are unknown, or all of them, are compared
// with the index, and what is committed meanwhile goes into the same transaction.

#include <algorithm>
#include <utility>

#include "uploader/base/hash.h"
#include "uploader/capture/capture.h"

namespace backstay {

// Encodes the frames up to `to` as parts of the open repair; `close` ends it with the last of them.
Status Capture::Merge(const WalTarget& to, bool close) {
  if (to.max_frame > 0 && place_.Behind(to) > 0) {
    Result<bool> entered = EnterWal(to);
    if (!entered.ok()) return entered.status();
    if (!*entered) return {Code::kUnavailable, "the WAL was restarted unseen", true};
    while (place_.wal().frame < to.max_frame) {
      BACKSTAY_TRY(wal_.Read(FramePages(options_.page_size), to.max_frame, &frames_));
      EncoderStep step = StepOf(0, frames_.size());
      BACKSTAY_TRY(CheckPages(step.pages));
      for (const WalFrame& f : frames_) merged_transactions_ += f.commit_pages != 0 ? 1 : 0;
      bool last = close && wal_.mark().frame == to.max_frame;
      step.transactions = last ? 1 + merged_transactions_ : 0;
      Status encoded = encoder_.Encode({step}, /*repair=*/true, last ? wal_.mark() : WalMark{});
      NoteFrames();
      BACKSTAY_TRY(encoded);
    }
    place_.Counts(to);
  }
  if (!close || !encoder_.open()) return Status::Ok();
  EncoderStep end;
  end.transactions = 1 + merged_transactions_;
  end.time_ms = options_.clock->WallMs();
  end.pages = PagesAt(to);
  return encoder_.Encode({end}, /*repair=*/true, place_.wal());
}

Status Capture::ComparePage(uint32_t pgno, bool all, std::vector<PageImage>* found) {
  uint64_t known = options_.index->Get(pgno);
  if ((!all && known != 0) || pgno == LockBytePage(options_.page_size)) return Status::Ok();
  const size_t n = options_.page_size;
  const PageBuffer image = PageBuffer(buffer_).subspan(found->size() * n, n);
  BACKSTAY_TRY(source_.Current(pgno, image));
  if (PageHash(pgno, image) == known) return Status::Ok();
  found->push_back({pgno, image.data()});
  return found->size() == FramePages(options_.page_size) ? FlushRepair(found) : Status::Ok();
}

Status Capture::FlushRepair(std::vector<PageImage>* found) {
  if (found->empty()) return Status::Ok();
  EncoderStep step;
  step.transactions = 0;
  step.time_ms = options_.clock->WallMs();
  step.pages = std::max(options_.index->pages(), found->back().pgno);
  step.images = std::move(*found);
  found->clear();
  // No place in the WAL goes with an unfinished repair: after a crash it starts over.
  return encoder_.Encode({step}, /*repair=*/true, WalMark{});
}

// The wal-index may tell of the next WAL while the file still holds the frames of the one before.
Status Capture::CatchUp(const std::vector<WalTarget>& targets, bool close) {
  for (size_t i = 0; i + 1 < targets.size(); ++i) {
    const WalTarget& old = targets[i];
    const bool newer = !old.counted() || !targets.back().counted() || place_.IsBefore(old);
    if (newer && Holds(old) && place_.Behind(old) > 0) BACKSTAY_TRY(Merge(old, /*close=*/false));
  }
  const WalTarget& to = targets.back();
  if (to.max_frame == 0) {
    Result<bool> still = IsStill(to);
    if (!still.ok() || !*still) return {Code::kUnavailable, "the WAL went unseen", true};
  }
  if (!close && place_.Behind(to) == 0) return Status::Ok();
  return Merge(to, close);
}

// The replica may end before the database: a commit that grows the database further must not make
// zeros of the pages between.
void Capture::CoverPages(uint32_t pages) {
  if (options_.index->pages() < pages) options_.index->Resize(pages);
}

// What was committed and is not encoded is to be read again, too.
Status Capture::PassTo(const std::vector<WalTarget>& targets) {
  for (const WalTarget& to : targets) {
    const bool last = &to == &targets.back();
    if (!last && (!Holds(to) || place_.Behind(to) == 0)) continue;
    Result<bool> passed = Skip(to);
    if (!passed.ok()) return passed.status();
    if (!*passed) return {Code::kUnavailable, "the WAL was restarted unseen", true};
  }
  return Status::Ok();
}

Status Capture::Repair(bool all, const FreshTargets& fresh, const std::function<bool()>& yield) {
  constexpr uint32_t kPagesBetweenYields = 64;
  std::vector<WalTarget> targets = fresh();
  Status other_mode{Code::kCancelled, "the journal mode changed", true};
  if (targets.empty() || targets.back().rollback) return other_mode;
  WalTarget to = targets.back();
  BACKSTAY_TRY(all || to.at_rest() ? StandAt(to) : PassTo(targets));
  merged_transactions_ = 0;
  buffer_.resize(static_cast<size_t>(FramePages(options_.page_size)) * options_.page_size);
  std::vector<PageImage> found;
  uint32_t pages = PagesAt(to);
  CoverPages(pages);
  for (uint32_t pgno = 1; pgno <= pages; ++pgno) {
    BACKSTAY_TRY(ComparePage(pgno, all, &found));
    if (pgno % kPagesBetweenYields != 0) continue;
    BACKSTAY_TRY(FlushRepair(&found));
    if (!yield()) return {Code::kCancelled, "repair was interrupted", true};
    targets = fresh();
    if (targets.empty() || targets.back().rollback) return other_mode;
    BACKSTAY_TRY(CatchUp(targets, /*close=*/false));
    pages = PagesAt(targets.back());
  }
  BACKSTAY_TRY(FlushRepair(&found));
  targets = fresh();
  if (targets.empty() || targets.back().rollback) return other_mode;
  to = targets.back();
  BACKSTAY_TRY(CatchUp(targets, /*close=*/true));
  // A database that only shrank, with nothing else to ship.
  if (options_.index->pages() != PagesAt(to)) {
    merged_transactions_ = 0;
    EncoderStep shrunk;
    shrunk.time_ms = options_.clock->WallMs();
    shrunk.pages = PagesAt(to);
    BACKSTAY_TRY(encoder_.Encode({shrunk}, /*repair=*/true, place_.wal()));
  }
  return Status::Ok();
}

}  // namespace backstay
