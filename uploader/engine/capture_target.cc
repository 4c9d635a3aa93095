// CaptureLoop, the part that asks where the committed end is.

#include <unistd.h>

#include <optional>
#include <string>
#include <vector>

#include "uploader/engine/bridge.h"
#include "uploader/engine/capture_loop.h"

namespace backstay {

std::optional<WalTarget> CaptureLoop::Fresh() {
  std::optional<WalTarget> mapped = core_->options.host->WalPosition();
  if (mapped) return mapped;
  std::optional<WalTarget> noted = core_->board.Latest();
  // In EXCLUSIVE locking mode nobody else commits.
  if (noted && noted->exclusive && core_->options.host->InUse()) return noted;
  if (!noted && core_->handover.rollback()) return std::nullopt;
  std::optional<WalTarget> found = Found();
  if (found) return found;
  guessed_ = true;
  return noted;
}

// Of a database that this process has closed, or not read since it is in WAL mode, the files say
// what is committed, by whomever. One that does not ship yet leaves it to others until it has read.
std::optional<WalTarget> CaptureLoop::Found() {
  const bool in_use = core_->options.host->InUse();
  if (in_use && !lock_) return std::nullopt;
  // The path may name another file by now, or none.
  const bool there = FileIdOf(core_->options.settings.path).known();
  if (!there || core_->IsReplaced()) return std::nullopt;
  Result<WalTarget> found = wal_end_.Find();
  if (!found.ok()) return std::nullopt;
  // Frames that are in nobody's wal-index may be of a commit of this process that has failed: in
  // EXCLUSIVE locking mode it has none.
  if (in_use && found->found && !found->at_rest()) return std::nullopt;
  if (!found->at_rest()) return *found;
  // A database without a page is none yet.
  if (PageSize(*found) == 0) return std::nullopt;
  if (Settles(*found)) guessed_ = true;
  return *found;
}

// What is read of such a file now may be changed without a trace.
bool CaptureLoop::Settles(const WalTarget& to) const {
  const bool by_file = to.at_rest() || (to.counted() && to.max_frame == 0 && !to.held);
  return by_file && !StampOf(core_->options.settings.path).settled;
}

std::optional<WalTarget> CaptureLoop::Target() {
  std::optional<WalTarget> wal = Fresh();
  if (wal) return wal;
  if (!core_->handover.rollback()) return std::nullopt;
  WalTarget file;
  file.rollback = true;
  file.pages = core_->handover.pages();
  return file;
}

// Another process has turned WAL mode off while the database was closed here, or not read.
bool CaptureLoop::LeaveWalLocked() {
  const std::string& path = core_->options.settings.path;
  Host* host = core_->options.host;
  if (!core_->life.open() || relocate_ || core_->handover.rollback()) return false;
  if (host->InUse() && (host->WalPosition() || core_->handover.Open())) return false;
  const FileLook look = host->Look(path);
  if (look.page_size == 0 || !look.rollback || JournalActive(path)) return false;
  if (access((path + "-wal").c_str(), F_OK) == 0) return false;
  static_cast<void>(core_->handover.Opened(look));
  core_->board.LeaveWal();
  return true;
}

// Other processes closed the WAL or wrote to the file while it was closed here: what they have left
// in the trail leads to what the file is now. True: the place in the files is found.
bool CaptureLoop::FollowTrailLocked(const WalTarget& to) {
  Capture* capture = core_->capture.get();
  Host* host = core_->options.host;
  if (!core_->life.whole() || unread_) return false;
  const WalMark& mark = capture->place().wal();
  const WalTarget end{mark.salt1, mark.salt2, mark.frame};
  const bool marked = (mark.salt1 | mark.salt2) != 0;
  const bool in_wal = capture->place().file().size < 0;
  // A WAL can be closed by others as long as this process has only opened the database, and not
  // read it yet.
  if (!in_wal && !relocate_ && host->InUse()) return false;
  if (in_wal && (!marked || capture->Holds(end))) return false;
  const TrailPlace from = in_wal ? PlaceOf(end) : PlaceOf(capture->place().file());
  const TrailPlace now = relocate_ && to.rollback
                             ? PlaceOf(open_stamp_)
                             : PlaceOf(host->Look(core_->options.settings.path));
  if (from.Same(now)) {
    // What the next WAL counts says nothing of the last one.
    if (marked) static_cast<void>(capture->SetStamp(capture->place().file()));
    return true;
  }
  auto transactions = core_->Bridge(from, now);
  if (!transactions) return false;
  EncodeLocked(*transactions);
  if (core_->life.need() == RepairNeed::kAll) return false;
  const bool kept = capture->SetStamp(now.file) && core_->EncodesLocked();
  if (!kept) return true;
  if (Status saved = core_->outbox->AppendStamp(now.file); !saved.ok()) Failed(saved);
  return true;
}

std::vector<WalTarget> CaptureLoop::FreshTargets() {
  WalTarget now = Target().value_or(WalTarget{});
  std::vector<WalTarget> targets;
  for (const auto& noted : {core_->board.Before(), core_->board.Latest()}) {
    if (noted && !noted->SameWal(now)) targets.push_back(*noted);
  }
  targets.push_back(now);
  return targets;
}

}  // namespace backstay
