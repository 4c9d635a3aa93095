#include "tools/restore_file.h"

#include <sys/stat.h>

#include <memory>
#include <utility>

#include "tools/command.h"
#include "uploader/base/clock.h"
#include "uploader/state/replica_place.h"
#include "uploader/state/restored.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

RestoredState StateOf(const RestoreOutcome& outcome, const std::string& replica, size_t number) {
  RestoredState state;
  state.identity = outcome.plan.identity;
  state.identity.page_size = outcome.result.page_size;
  state.replica = replica;
  state.number = number;
  state.epoch = outcome.plan.epoch;
  state.void_below = outcome.plan.void_below;
  state.next_log_number = outcome.plan.next_log_number;
  state.segment_number = outcome.result.segment_number;
  state.segment_hash = outcome.result.segment_hash;
  state.txid = outcome.plan.txid;
  state.time_ms = outcome.plan.time_ms;
  state.restored_ms = RealClock()->WallMs();
  state.page_hashes = outcome.result.page_hashes;
  state.at_end = outcome.plan.at_end;
  state.base = outcome.plan.snapshot.base;
  if (const auto& left = outcome.plan.left) {
    state.new_base = true;
    state.segment_number = left->segment_number;
    state.segment_hash = left->segment_hash;
    state.txid = left->txid;
  }
  return state;
}

// From where the next writer goes on.
void WriteState(const std::string& output, const RestoredState& state, const std::string& place) {
  Status written = WriteRestoredState(output, state);
  if (written.ok() && state.at_end) {
    written = NotePlace(StateFolderOf(output, state.replica, state.number), state.replica, place);
  }
  if (!written.ok()) {
    PrintWarning(written.message() +
                 "; the database is restored, but the next start will compare it with the replica "
                 "page by page");
  }
}

// Another try goes on where this one ended: it was stopped, or the replica could not be reached.
bool CanGoOn(const Status& status) {
  return status.code() == Code::kCancelled || status.code() == Code::kUnavailable;
}

void KeepForLater(TargetFile* file) {
  struct stat info {};
  const bool begun = fstat(file->fd().get(), &info) == 0 && info.st_blocks > 0;
  file->Keep(begun);
  if (!begun) return;
  PrintLine(Level::kInfo, "what has been restored is kept in " + file->temporary() + " (" +
                              FormatBytes(static_cast<uint64_t>(info.st_blocks) * 512) +
                              "): another restore to the same file goes on there; else delete it");
}

}  // namespace

Result<RestoreOutcome> RestoreFile(ReplicaClient* client, const FileRestore& restore, bool* local) {
  *local = true;
  Result<std::unique_ptr<TargetFile>> file = TargetFile::Create(restore.output, restore.file);
  if (!file.ok()) return file.status();
  const ReplicaReader reader(client, restore.retry);
  const std::string place = client->PlaceMark();
  FilePageStore store((*file)->fd(), (*file)->temporary(), FilePageStore::Use::kStays);
  RestoreOptions options = restore.restore;
  options.replay.holds_pages = (*file)->holds_pages();
  Result<RestoreOutcome> outcome = RestoreInto(reader, options, &store);
  const Code code = outcome.status().code();
  *local = code == Code::kIo || code == Code::kCancelled;
  (*file)->Keep(false);
  if (CanGoOn(outcome.status())) KeepForLater(file->get());
  if (!outcome.ok()) return outcome.status();
  BACKSTAY_TRY(CheckIntegrity((*file)->temporary(), restore.integrity));
  *local = true;
  if (restore.finish) BACKSTAY_TRY(restore.finish((*file)->fd(), *outcome));
  BACKSTAY_TRY((*file)->Install(restore.beside));
  if (!restore.copy) {
    WriteState(restore.output, StateOf(*outcome, reader.Describe(), restore.number), place);
  }
  return outcome;
}

}  // namespace backstay
