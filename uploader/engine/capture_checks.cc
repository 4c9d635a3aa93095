// CaptureLoop, the part that looks whether what is read is what it is taken for: pages of that file
// and of that size, frames that SQLite itself would find again.

#include <optional>
#include <string>
#include <utility>

#include "uploader/engine/capture_loop.h"
#include "uploader/state/database_mark.h"

namespace backstay {

// What waits lies in files without a name, and no other process would meet the lock. By the mark of
// its file the database goes on with the replica in a new state folder; where the mark went with
// the folder, what is in memory is better than nothing.
void CaptureLoop::EndIfRemovedLocked() {
  const CoreOptions& options = core_->options;
  if (core_->life.ended() || !core_->life.open() || !lock_ || !lock_->Holds()) return;
  if (HoldsLock() || core_->IsAway()) return;
  const bool heals = ReadMark({options.settings.path, options.folder}, core_->identity.id) > 0;
  options.logger->Remind(
      Level::kWarn,
      "the state folder " + options.folder + " was removed while it was in use; " +
          (heals ? "it is made anew with the next commit, and the database compared with the "
                   "replica"
                 : "replication goes on, but has no status; end the application, backstay adopt " +
                       options.settings.path + ", and start it"),
      {{"db", options.settings.path}, {"replica", options.replica}});
  if (heals) core_->LetGoLocked({Code::kIo, "the state folder was removed"}, Level::kDebug);
}

// What is written to a file that lost its path is lost with it, and what took the path is another
// database.
void CaptureLoop::EndIfReplacedLocked() {
  if (core_->life.ended() || !core_->IsReplaced()) return;
  if (!core_->options.host->InUse()) return core_->RetireLocked();
  core_->StopLocked({Code::kForeign,
                     "the database file was replaced by another one while it is open; what is "
                     "committed here goes into a file without a name: close the database, and open "
                     "it again"});
}

// One that is closed has ended: nothing of it will be found any more.
void CaptureLoop::AwayLocked() {
  if (!core_->options.host->InUse()) {
    return core_->StopLocked({Code::kIo,
                              "the database was moved or deleted, with its WAL, before all that "
                              "was committed had been read; the last of it is not shipped"},
                             Level::kWarn);
  }
  retry_at_ms_ = core_->options.clock->MonotonicMs() + kLocalRetryMs;
  core_->NeedRepairLocked(RepairNeed::kAll);
  Failed({Code::kIo,
          "the database file is not at its path any more, though it is open; what is committed "
          "goes into a file of another name, or of none, and is not shipped: put it back, or close "
          "the database, and open it again",
          true});
}

// What is read of the file counts only while its pages have the size that they are taken for. In
// the middle of a transaction, or with one to be played back, the header says nothing yet; what
// waits to be taken tells its own size. Nor does it while a WAL holds the committed end.
bool CaptureLoop::PageSizeHoldsLocked() {
  const FileLook look = core_->options.host->Look(core_->options.settings.path);
  if (look.page_size == 0 || look.page_size == core_->identity.page_size) return true;
  if (!core_->handover.Idle() || core_->WriteActive()) return true;
  std::optional<WalTarget> to = core_->options.host->WalPosition();
  if (!to) to = core_->board.Latest();
  const uint32_t size = PageSize(to.value_or(WalTarget{}));
  if (!IsOther(size)) return true;
  ReadAnewLocked();
  return false;
}

void CaptureLoop::SayBareLocked() {
  if (!core_->capture->passed_bare_frames() || std::exchange(told_bare_, true)) return;
  core_->Log(Level::kWarn,
             "SQLite has left frames without a checksum in the WAL, as it does (3.40) when a "
             "savepoint of a transaction larger than its cache is rolled back; they are shipped, "
             "but after a crash of the machine or of the application SQLite would drop them and "
             "all commits behind them, up to the next checkpoint; remedy: PRAGMA wal_checkpoint, a "
             "larger PRAGMA cache_size, a newer SQLite");
}

}  // namespace backstay
