// LogWriter, the part that reads and writes what the database file says of itself: whose replica it
// is the source of, of which family it is, and whether it is a copy.

#include <mutex>
#include <utility>

#include "uploader/engine/log_writer.h"
#include "uploader/state/database_mark.h"
#include "uploader/state/database_origin.h"
#include "uploader/state/state_folder.h"

namespace backstay {

uint64_t LogWriter::MarkedEpoch(const DatabaseId& id) const {
  return ReadMark({core_->options.settings.path, core_->options.folder}, id);
}

uint64_t LogWriter::StateEpoch(const DatabaseId& id) const {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return core_->identity.id == id ? core_->ship.epoch : 0;
}

// What is written on the file changes its stamp, though nothing of the database. In turn with the
// other pipelines: what one has claimed another would forget.
void LogWriter::WriteOnFileLocked(const std::function<Status()>& write) {
  const std::string& path = core_->options.settings.path;
  std::lock_guard<std::mutex> origin(*core_->options.origin);
  FileStamp before = StampOf(path);
  Status written = write();
  if (!written.ok()) core_->Log(Level::kDebug, written.message());
  FileStamp after = StampOf(path);
  if (before == after) return;
  core_->board.Marked(before, after);
  if (core_->capture->place().file() != before) return;
  if (!core_->life.whole()) return;
  core_->capture->WalGone(after);
  (void)core_->outbox->AppendStamp(after);
}

// A higher mark stays: the state folder is an old one then, which shows as soon as the log is
// written. The mark comes first, and what cannot be written keeps nothing else from being: on a
// full disk it is all that tells a later life whose replica this is.
void LogWriter::Mark() {
  const std::string& path = core_->options.settings.path;
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (core_->IsReplaced()) return;
  if (MarkedEpoch(core_->identity.id) > core_->ship.epoch) return;
  if (!core_->life.open()) return;
  WriteOnFileLocked([&]() -> Status {
    Status marked = WriteMark({path, core_->options.folder}, core_->identity.id, core_->ship.epoch);
    if (marked.ok() && !std::exchange(core_->ship.marked, true)) core_->SaveShipLocked();
    Status home = WriteHome(path);
    const Family joined{core_->identity.family, core_->options.clock->WallMs()};
    if (joined.known() && !core_->family.known()) BACKSTAY_TRY(ClaimLocked(joined));
    return marked.ok() ? home : marked;
  });
}

Status LogWriter::ClaimLocked(const Family& wanted) {
  Result<Family> family = ClaimFamily(core_->options.settings.path, wanted);
  if (family.ok()) core_->family = *family;
  return family.status();
}

// Before a replica begins: it gets the family of its database, which may be a copy of another.
void LogWriter::ClaimOrigin() {
  const std::string& path = core_->options.settings.path;
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (core_->IsReplaced() || !core_->life.open()) return;
  WriteOnFileLocked([&]() -> Status {
    if (!OriginalOf(path).empty()) ForgetOrigin(path);
    Status home = WriteHome(path);
    Family wanted;
    for (uint8_t& byte : wanted.id) byte = static_cast<uint8_t>(core_->options.random());
    wanted.since_ms = core_->options.clock->WallMs();
    BACKSTAY_TRY(ClaimLocked(wanted));
    core_->identity.family = core_->family.id;
    return home;
  });
}

Status LogWriter::Foreign(const DatabaseId& id) const {
  const std::string whose =
      core_->left.others ? "the database file was replaced by another one, and the replica " +
                               core_->options.replica + " belongs to the one before"
                         : "the replica " + core_->options.replica +
                               " belongs to another database, of which this may be a copy";
  return {Code::kForeign, whose + " (id " + FormatDatabaseId(id) + "): " + core_->ForeignRemedy()};
}

// The pages differ, or could not be compared just now.
Status LogWriter::NotOurs(const DatabaseId& id) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (!core_->life.open()) return {Code::kUnavailable, "capture starts over", true};
  return Foreign(id);
}

Status LogWriter::Overtaken() const {
  return {Code::kFenced,
          "a newer writer owns " + core_->options.replica + "; " + core_->FencedRemedy()};
}

// Whatever came with a copy, mark and state folder too, says nothing of the copy.
Status LogWriter::CheckOriginal(const Identity& found) {
  const std::string& path = core_->options.settings.path;
  const std::string original = OriginalOf(path);
  if (original.empty()) return Status::Ok();
  const Family family = ReadFamily(original);
  const bool its = ReadMark({original, StateFolderOf(original)}, found.id) > 0 ||
                   (family.known() && family.id == found.family);
  if (!its) return Status::Ok();
  return {Code::kForeign, "this database is a copy of " + original + ", whose replica " +
                              core_->options.replica + " is (id " + FormatDatabaseId(found.id) +
                              "): " + core_->ForeignRemedy()};
}

}  // namespace backstay
