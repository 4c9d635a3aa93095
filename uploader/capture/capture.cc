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
  mark_ = wal;
  stamp_ = stamp;
}

int64_t Capture::TimeOf(uint32_t frame) const {
  int64_t known = options_.commit_time ? options_.commit_time(mark_.salt1, frame) : 0;
  return known != 0 ? known : options_.clock->WallMs();
}

uint32_t Capture::Behind(const WalTarget& to) const {
  bool same = to.salt1 == mark_.salt1 && to.salt2 == mark_.salt2;
  if (!same) return to.max_frame;
  return to.max_frame - std::min(to.max_frame, mark_.frame);
}

bool Capture::Holds(const WalTarget& target) {
  Result<bool> exists = wal_.Refresh();
  return exists.ok() && *exists && wal_.Start().salt1 == target.salt1 &&
         wal_.Start().salt2 == target.salt2;
}

Result<bool> Capture::Locate(const WalTarget& to, const FileStamp& opened) {
  Result<bool> exists = wal_.Refresh();
  if (!exists.ok()) return exists;
  if (*exists && mark_.SameWal(wal_.Start()) && (mark_.salt1 | mark_.salt2) != 0) {
    Result<bool> found = wal_.Seek(mark_);
    if (!found.ok()) return found;
    if (!*found || to.max_frame < mark_.frame || WalReader::IsBare(mark_)) return false;
    BACKSTAY_TRY(wal_.Headers(1, mark_.frame,
                              [&](const WalFrame& f) { source_.NoteFrame(f.pgno, f.frame); }));
    BACKSTAY_TRY(CountFrom(mark_.frame, to));
    return true;
  }
  // Without a WAL what was committed since is handed over. With one, as the file is now: since it
  // was opened a WAL may have come and gone, into the file.
  const FileStamp seen = to.rollback ? opened : StampOf(options_.database_path);
  if (stamp_.size < 0 || stamp_ != seen) return false;
  mark_ = {};
  BACKSTAY_TRY(CountFrom(0, to));
  return true;
}

// What the counter of commits was at `frame` of the WAL of `to`: behind that there is nothing but
// what this WAL holds.
Status Capture::CountFrom(uint32_t frame, const WalTarget& to) {
  change_known_ = false;
  if (!to.counted()) return Status::Ok();
  uint32_t commits = 0;
  if (to.max_frame > frame) {
    if (!Holds(to)) return Status::Ok();
    BACKSTAY_TRY(wal_.Headers(frame + 1, to.max_frame,
                              [&](const WalFrame& f) { commits += f.commit_pages != 0 ? 1 : 0; }));
  }
  change_ = to.change - commits;
  change_known_ = true;
  return Status::Ok();
}

// Stands at `to` without encoding anything: its frames are only noted as the newest images.
Status Capture::Place(const WalTarget& to) {
  Result<bool> exists = wal_.Refresh();
  if (!exists.ok()) return exists.status();
  source_.ForgetFrames();
  change_ = to.change;
  change_known_ = to.counted();
  restart_announced_ = false;
  mark_ = {};
  // Whatever changes the file from here on shows.
  if (to.at_rest()) stamp_ = StampOf(options_.database_path);
  if (to.max_frame == 0) return Status::Ok();
  if (!*exists || wal_.Start().salt1 != to.salt1 || wal_.Start().salt2 != to.salt2) {
    return OtherWal();
  }
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
  LeaveFile();
  mark_ = *mark;
  return Status::Ok();
}

Status Capture::StartFresh(const WalTarget& to) {
  BACKSTAY_TRY(Place(to));
  options_.index->Resize(PagesAt(to));
  options_.index->SetAllUnknown();
  if (!encoder_.open()) return Status::Ok();
  // A crash cut a transaction off in the log: the copy to come holds it whole.
  EncoderStep end;
  end.time_ms = options_.clock->WallMs();
  end.pages = options_.index->pages();
  return encoder_.Encode({end}, /*repair=*/true, mark_);
}

// A WAL that begins anew gets the next salt, one of another wal-index any: that one counts from its
// own beginning, and may have come to the same number.
bool Capture::IsOtherIndex(const WalTarget& to) const {
  constexpr uint32_t kMostRestarts = 1 << 16;
  const bool marked = (mark_.salt1 | mark_.salt2) != 0;
  return marked && to.salt1 - mark_.salt1 > kMostRestarts;
}

// True when no commit between the encoded place and the start of the WAL of `to` can have been
// missed.
Result<bool> Capture::SeenAll(const WalTarget& to) {
  uint32_t commits = 0;
  BACKSTAY_TRY(wal_.Headers(1, to.max_frame,
                            [&](const WalFrame& f) { commits += f.commit_pages != 0 ? 1 : 0; }));
  const auto since = static_cast<int32_t>(to.change - change_);
  // It is another wal-index that counts, from its own beginning, where there are fewer than this
  // WAL holds. Where nobody held the last one any more its salts tell, too: it may have come to the
  // same number.
  const bool other =
      since < static_cast<int64_t>(commits) || (stamp_.size >= 0 && IsOtherIndex(to));
  if (change_known_ && to.counted() && !other) return since == static_cast<int64_t>(commits);
  if (stamp_.size >= 0 && (stamp_ == entry_stamp_ || stamp_ == StampOf(options_.database_path))) {
    return true;
  }
  return to.exclusive && restart_announced_;
}

// From here on the file alone is not what is encoded.
void Capture::LeaveFile() {
  stamp_ = {};
  entry_stamp_ = {};
}

// Stands in the WAL of `to`, at its start if it is a new one.
Result<bool> Capture::EnterWal(const WalTarget& to) {
  Result<bool> exists = wal_.Refresh(/*unnamed=*/options_.closed && options_.closed());
  if (!exists.ok()) return exists;
  if (!*exists || wal_.Start().salt1 != to.salt1 || wal_.Start().salt2 != to.salt2) {
    return OtherWal();
  }
  bool same = mark_.SameWal(wal_.Start());
  if (!same) {
    Result<bool> seen = SeenAll(to);
    if (!seen.ok() || !*seen) return seen;
    source_.ForgetFrames();
    restart_announced_ = false;
    LeaveFile();
    mark_ = wal_.Start();
  }
  if (same && wal_.mark().frame == mark_.frame && wal_.mark().SameWal(mark_)) return true;
  return wal_.Seek(mark_);
}

Result<bool> Capture::Skip(const WalTarget& to) {
  if (to.max_frame == 0 || Behind(to) == 0) return Advance(to);
  Result<bool> entered = EnterWal(to);
  if (!entered.ok() || !*entered) return entered;
  Result<WalMark> end = wal_.MarkAt(to.max_frame);
  if (!end.ok()) return end.status();
  uint32_t most = 0;
  BACKSTAY_TRY(wal_.Headers(mark_.frame + 1, to.max_frame, [&](const WalFrame& frame) {
    most = std::max({most, frame.pgno, frame.commit_pages});
  }));
  BACKSTAY_TRY(CheckPages(most));
  BACKSTAY_TRY(wal_.Headers(mark_.frame + 1, to.max_frame, [&](const WalFrame& frame) {
    source_.NoteFrame(frame.pgno, frame.frame);
    options_.index->Set(frame.pgno, 0);
    if (frame.commit_pages != 0) options_.index->Resize(frame.commit_pages);
  }));
  mark_ = *end;
  change_ = to.change;
  change_known_ = to.counted();
  Result<bool> found = wal_.Seek(mark_);
  return found;
}

// There is no frame in the WAL of `to`. False: something was committed and checkpointed away
// unseen.
Result<bool> Capture::IsStill(const WalTarget& to) {
  if (!to.at_rest()) {
    // Nothing tells what a new wal-index has counted before: a WAL may have come, and gone into the
    // file.
    const bool in_file = !change_known_ && to.counted() && stamp_.size >= 0;
    if (in_file) return stamp_ == StampOf(options_.database_path);
    return !change_known_ || !to.counted() || (to.change == change_ && !IsOtherIndex(to));
  }
  // Whoever took the WAL away may be just about to say so.
  if (stamp_.size < 0) return Status(Code::kNotFound, "the WAL is gone", true);
  return stamp_ == StampOf(options_.database_path);
}

Result<bool> Capture::Advance(const WalTarget& to) {
  if (to.rollback) {
    change_known_ = false;
    return true;
  }
  if (to.max_frame == 0) {
    Result<bool> still = IsStill(to);
    change_ = to.change;
    change_known_ = to.counted();
    return still;
  }
  if (Behind(to) == 0) {
    const bool here = to.counted() && to.max_frame == mark_.frame;
    if (here) change_ = to.change;
    change_known_ = change_known_ || here;
    return true;
  }
  Result<bool> entered = EnterWal(to);
  if (!entered.ok() || !*entered) return entered;
  while (mark_.frame < to.max_frame) {
    BACKSTAY_TRY(EncodeChunk(to));
    if (LeavesRest(to)) return Skip(to);
  }
  change_ = to.change;
  change_known_ = to.counted();
  return true;
}

// Only in the middle of a transaction: whatever is whole stays a state that can be restored. And
// only where commits are counted, so that a repair can follow a WAL that begins anew under it.
bool Capture::LeavesRest(const WalTarget& to) const {
  constexpr uint64_t kLongBytes = 4 << 20;
  return to.counted() && encoder_.open() &&
         uint64_t{Behind(to)} * options_.page_size > kLongBytes && options_.hurried &&
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
  mark_ = wal_.mark();
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
