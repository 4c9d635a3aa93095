#include "uploader/capture/capture.h"

#include <algorithm>
#include <utility>

#include "uploader/base/hash.h"
#include "uploader/state/state_folder.h"

namespace backstay {

Capture::Capture(Options options)
    : options_(std::move(options)),
      wal_(options_.database_path + "-wal", options_.page_size),
      source_(options_.page_size, &wal_, options_.file),
      encoder_(
          {options_.page_size, options_.cache_bytes, options_.index, &source_, options_.outbox}) {}

void Capture::SetState(const LogHead& head, const WalMark& wal, const FileStamp& stamp) {
  encoder_.set_head(head);
  place_ = Place(wal, stamp);
}

int64_t Capture::TimeOf(uint32_t frame) const {
  int64_t known = options_.commit_time ? options_.commit_time(place_.wal().salt1, frame) : 0;
  return known != 0 ? known : options_.clock->WallMs();
}

bool Capture::Holds(const WalTarget& target) {
  Result<bool> exists = wal_.Refresh();
  return exists.ok() && *exists && wal_.Start().salt1 == target.salt1 &&
         wal_.Start().salt2 == target.salt2;
}

Result<Observation> Capture::Observe(const WalTarget& to, bool first) {
  Observation seen;
  seen.to = to;
  seen.first = first;
  Result<bool> exists = wal_.Refresh(/*unnamed=*/options_.closed && options_.closed());
  if (!exists.ok()) return exists.status();
  if (*exists) seen.wal = wal_.Start();
  const WalMark& place = place_.wal();
  if (seen.wal && place_.in_wal() && place.SameWal(*seen.wal)) {
    const bool there = wal_.mark().frame == place.frame && wal_.mark().SameWal(place);
    Result<bool> found = there ? true : wal_.Seek(place);
    if (!found.ok()) return found.status();
    seen.mark_holds = *found;
    return seen;
  }
  if (!first && seen.wal && to.SameWal(*seen.wal)) {
    Result<uint32_t> commits = CommitsIn(1, to);
    if (!commits.ok()) return commits.status();
    seen.commits = *commits;
  }
  seen.file = StampOf(options_.database_path);
  return seen;
}

Result<uint32_t> Capture::CommitsIn(uint32_t first, const WalTarget& to) {
  uint32_t commits = 0;
  BACKSTAY_TRY(wal_.Headers(first, to.max_frame,
                            [&](const WalFrame& f) { commits += f.commit_pages != 0 ? 1 : 0; }));
  return commits;
}

Result<bool> Capture::Locate(const WalTarget& to, const FileStamp& opened) {
  Result<Observation> seen = Observe(to, /*first=*/true);
  if (!seen.ok()) return seen.status();
  // Without a WAL what was committed since is handed over. With one, as the file is now: since it
  // was opened a WAL may have come and gone, into the file.
  if (to.rollback) seen->file = opened;
  if (Judge(place_, *seen) != Verdict::kHere) return false;
  if (seen->mark_holds) {
    BACKSTAY_TRY(wal_.Headers(1, place_.wal().frame,
                              [&](const WalFrame& f) { source_.NoteFrame(f.pgno, f.frame); }));
  } else {
    place_.InFile(place_.file());
  }
  BACKSTAY_TRY(CountFrom(place_.wal().frame, to));
  return true;
}

// What the counter of commits was at `frame` of the WAL of `to`: behind that there is nothing but
// what this WAL holds.
Status Capture::CountFrom(uint32_t frame, const WalTarget& to) {
  place_.Counts(std::nullopt);
  if (!to.counted()) return Status::Ok();
  uint32_t since = 0;
  if (to.max_frame > frame) {
    if (!Holds(to)) return Status::Ok();
    Result<uint32_t> commits = CommitsIn(frame + 1, to);
    if (!commits.ok()) return commits.status();
    since = *commits;
  }
  place_.Counts(to.change - since);
  return Status::Ok();
}

// Stands at `to` without encoding anything: its frames are only noted as the newest images.
Status Capture::StandAt(const WalTarget& to) {
  Result<bool> exists = wal_.Refresh();
  if (!exists.ok()) return exists.status();
  source_.ForgetFrames();
  if (to.max_frame == 0) {
    // Whatever changes the file from here on shows; without a WAL it comes with what is handed
    // over.
    place_.InFile(to.rollback ? place_.file() : StampOf(options_.database_path));
    place_.Counts(to);
    return Status::Ok();
  }
  place_ = {};
  if (!*exists || !to.SameWal(wal_.Start())) return OtherWal();
  Result<WalMark> mark = wal_.MarkAt(to.max_frame);
  if (!mark.ok()) return mark.status();
  uint32_t pages = 0;
  Result<bool> found = wal_.Seek(*mark);
  if (!found.ok()) return found.status();
  BACKSTAY_TRY(wal_.Headers(1, to.max_frame, [&](const WalFrame& f) {
    source_.NoteFrame(f.pgno, f.frame);
    if (f.frame == to.max_frame) pages = f.commit_pages;
  }));
  BACKSTAY_TRY(CheckPages(std::max(pages, to.pages)));
  place_.EnterWal(*mark);
  place_.Counts(to);
  return Status::Ok();
}

Status Capture::StartFresh(const WalTarget& to) {
  BACKSTAY_TRY(StandAt(to));
  options_.index->Resize(PagesAt(to));
  options_.index->SetAllUnknown();
  if (!encoder_.open()) return Status::Ok();
  // A crash cut a transaction off in the log: the copy to come holds it whole.
  EncoderStep end;
  end.time_ms = options_.clock->WallMs();
  end.pages = options_.index->pages();
  return encoder_.Encode({end}, /*repair=*/true, place_.wal());
}

// Stands in the WAL of `to`, at its start if it is a new one. False: a gap.
Result<bool> Capture::EnterWal(const WalTarget& to) {
  Result<Observation> seen = Observe(to, /*first=*/false);
  if (!seen.ok()) return seen.status();
  const Verdict verdict = Judge(place_, *seen);
  if (verdict == Verdict::kWait) return OtherWal();
  if (verdict == Verdict::kNextWal) {
    source_.ForgetFrames();
    place_.EnterWal(*seen->wal);
    return wal_.Seek(place_.wal());
  }
  return verdict == Verdict::kHere;
}

Result<bool> Capture::Skip(const WalTarget& to) {
  if (to.max_frame == 0 || place_.Behind(to) == 0) return Advance(to);
  Result<bool> entered = EnterWal(to);
  if (!entered.ok() || !*entered) return entered;
  Result<WalMark> end = wal_.MarkAt(to.max_frame);
  if (!end.ok()) return end.status();
  uint32_t most = 0;
  BACKSTAY_TRY(wal_.Headers(place_.wal().frame + 1, to.max_frame, [&](const WalFrame& frame) {
    most = std::max({most, frame.pgno, frame.commit_pages});
  }));
  BACKSTAY_TRY(CheckPages(most));
  BACKSTAY_TRY(wal_.Headers(place_.wal().frame + 1, to.max_frame, [&](const WalFrame& frame) {
    source_.NoteFrame(frame.pgno, frame.frame);
    options_.index->Set(frame.pgno, 0);
    if (frame.commit_pages != 0) options_.index->Resize(frame.commit_pages);
  }));
  place_.Encoded(*end);
  place_.Counts(to);
  return wal_.Seek(place_.wal());
}

// There is no frame in the WAL of `to`. False: something was committed and checkpointed away
// unseen.
Result<bool> Capture::IsStill(const WalTarget& to) {
  Observation seen;
  seen.to = to;
  seen.file = StampOf(options_.database_path);
  const Verdict verdict = Judge(place_, seen);
  place_.Counts(to);
  if (verdict == Verdict::kWait) return Status(Code::kNotFound, "the WAL is gone", true);
  return verdict == Verdict::kHere;
}

Result<bool> Capture::Advance(const WalTarget& to) {
  if (to.rollback) {
    place_.Counts(std::nullopt);
    return true;
  }
  if (to.max_frame == 0) return IsStill(to);
  if (place_.Behind(to) == 0) {
    if (to.counted() && to.max_frame == place_.wal().frame) place_.Counts(to);
    return true;
  }
  Result<bool> entered = EnterWal(to);
  if (!entered.ok() || !*entered) return entered;
  while (place_.wal().frame < to.max_frame) {
    BACKSTAY_TRY(EncodeChunk(to));
    if (LeavesRest(to)) return Skip(to);
  }
  place_.Counts(to);
  return true;
}

// Only in the middle of a transaction: whatever is whole stays a state that can be restored. And
// only where commits are counted, so that a repair can follow a WAL that begins anew under it.
bool Capture::LeavesRest(const WalTarget& to) const {
  constexpr uint64_t kLongBytes = 4 << 20;
  return to.counted() && encoder_.open() &&
         uint64_t{place_.Behind(to)} * options_.page_size > kLongBytes && options_.hurried &&
         options_.hurried();
}

// The frames first..last-1 of frames_ as one step: the last image of each page, by page number.
EncoderStep Capture::StepOf(size_t first, size_t last) const {
  EncoderStep step;
  uint32_t top = options_.index->pages();
  for (size_t i = first; i < last; ++i) {
    step.images.push_back({frames_[i].pgno, frames_[i].image});
    top = std::max(top, frames_[i].pgno);
  }
  uint32_t commit_pages = frames_[last - 1].commit_pages;
  step.transactions = commit_pages != 0 ? 1 : 0;
  step.pages = commit_pages != 0 ? commit_pages : top;
  step.time_ms = TimeOf(frames_[last - 1].frame);
  auto& images = step.images;
  std::stable_sort(images.begin(), images.end(),
                   [](const PageImage& a, const PageImage& b) { return a.pgno < b.pgno; });
  auto newest =
      std::unique(images.rbegin(), images.rend(),
                  [](const PageImage& a, const PageImage& b) { return a.pgno == b.pgno; });
  images.erase(images.begin(), newest.base());
  // Pages beyond the end were written before the transaction shrank the database.
  std::erase_if(images, [&](const PageImage& page) { return page.pgno > step.pages; });
  return step;
}

void Capture::NoteFrames() {
  for (const WalFrame& frame : frames_) source_.NoteFrame(frame.pgno, frame.frame);
  place_.Encoded(wal_.mark());
}

Status Capture::EncodeChunk(const WalTarget& to) {
  BACKSTAY_TRY(wal_.Read(FramePages(options_.page_size), to.max_frame, &frames_));
  auto last_commit = std::find_if(frames_.rbegin(), frames_.rend(),
                                  [](const WalFrame& frame) { return frame.commit_pages != 0; });
  if (last_commit != frames_.rend() && last_commit != frames_.rbegin()) {
    frames_.erase(last_commit.base(), frames_.end());
    wal_.RewindToCommit();
  }
  std::vector<EncoderStep> steps;
  size_t first = 0;
  for (size_t i = 0; i < frames_.size(); ++i) {
    if (frames_[i].commit_pages == 0 && i + 1 < frames_.size()) continue;
    steps.push_back(StepOf(first, i + 1));
    BACKSTAY_TRY(CheckPages(steps.back().pages));
    first = i + 1;
  }
  Status encoded = encoder_.Encode(steps, /*repair=*/false, wal_.mark());
  NoteFrames();
  return encoded;
}

Status Capture::CopyPages(uint32_t first, uint32_t count, std::span<uint8_t> out) {
  const size_t n = options_.page_size;
  if (out.size() != count * n) return {Code::kCancelled, "the page size changed", true};
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t pgno = first + i;
    const PageBuffer image = out.subspan(i * n, n);
    if (pgno == LockBytePage(options_.page_size)) {
      std::fill(image.begin(), image.end(), 0);
      continue;
    }
    BACKSTAY_TRY(source_.Current(pgno, image));
    const bool ours = encoder_.first_snapshot_active() && pgno <= options_.index->pages() &&
                      !encoder_.MayHold(pgno);
    if (ours && options_.index->Get(pgno) == 0) {
      options_.index->Set(pgno, PageHash(pgno, image));
    }
  }
  return Status::Ok();
}

}  // namespace backstay
