// CaptureLoop, the part that asks where the committed end is.

#include <optional>
#include <vector>

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

// Of a database that this process has closed the files say what is committed, by whomever.
std::optional<WalTarget> CaptureLoop::Found() {
  if (core_->options.host->InUse()) return std::nullopt;
  // The path may name another file by now, or none.
  const bool there = FileIdOf(core_->options.settings.path).known();
  if (!there || core_->IsReplaced()) return std::nullopt;
  Result<WalTarget> found = wal_end_.Find();
  if (!found.ok()) return std::nullopt;
  if (!found->at_rest()) return *found;
  // A database without a page is none yet.
  if (PageSize(*found) == 0) return std::nullopt;
  if (Settles(*found)) guessed_ = true;
  return *found;
}

// What is read of such a file now may be changed without a trace.
bool CaptureLoop::Settles(const WalTarget& to) const {
  return to.at_rest() && !StampOf(core_->options.settings.path).settled;
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
