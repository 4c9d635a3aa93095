#include "uploader/engine/core.h"

#include <algorithm>
#include <utility>

#include "uploader/base/hash.h"
#include "uploader/engine/bridge.h"

namespace backstay {
namespace {

constexpr uint64_t kMinSaveBytes = 1 << 20;

}  // namespace

void Core::SaveIndexLocked() {
  if (outbox == nullptr) return;
  if (!life.open()) return outbox->Rest();
  IndexFile file;
  file.identity = identity;
  file.replica = options.replica;
  file.encoded = capture->encoder()->head();
  // While a repair is due or under way no place in the WAL goes with the index: the next start
  // compares.
  if (life.whole() && !file.encoded.open) {
    file.wal = capture->place().wal();
    file.stamp = capture->place().file();
  }
  file.ship = ship;
  file.hashes = index->hashes();
  // Behind it nobody must go on with a copy that is void.
  Status saved(Code::kIo, options.folder + "/snapshot cannot be removed");
  if (copy.Told()) {
    saved = WriteFileAtomic(options.folder + "/index", EncodeIndexFile(file), /*durable=*/true);
  }
  if (saved.ok()) saved = outbox->Compact();
  // One that is kept may hold older records of this.
  if (saved.ok() && outbox->file_bytes() > 0) saved = outbox->AppendShip(ship);
  if (!saved.ok()) {
    outbox->Rest();
    end_if_removed();
  }
  if (!saved.ok() && life.holds()) {
    local.Failed("the state folder cannot be written: " + saved.message() + FolderRemedy(),
                 {{"db", options.settings.path}, {"replica", options.replica}});
  }
  uint64_t index_bytes = static_cast<uint64_t>(index->pages()) * 8;
  save_above = outbox->file_bytes() + std::max(kMinSaveBytes, index_bytes);
}

Status Core::CheckOwn(const Identity& found) {
  std::lock_guard<std::mutex> lock(mutex);
  if (found.id == identity.id) return Status::Ok();
  return {Code::kForeign, options.replica + " belongs to another database by now (id " +
                              FormatDatabaseId(found.id) + "): nothing is packed or deleted there"};
}

void Core::SaveShipLocked() {
  if (outbox == nullptr) return;
  Status saved = outbox->AppendShip(ship);
  if (saved.ok()) return;
  local.Failed("the state folder cannot be written: " + saved.message() + FolderRemedy(),
               {{"db", options.settings.path}, {"replica", options.replica}});
}

void Core::CollapseLocked(const LogHead& head, bool save) {
  // A snapshot holds what is dropped here: it is of no earlier time.
  LogHead from = head;
  for (const Outbox::Pending& pending : outbox->pending()) {
    from.time_ms = std::max(from.time_ms, pending.head.time_ms);
    lag.Waits(pending.head.time_ms);
    for (uint32_t pgno : pending.pages) {
      if (pgno <= index->pages()) index->Set(pgno, 0);
    }
  }
  // A copy that waits for segments which are no more, or for their numbers.
  VoidSnapshotLocked();
  outbox->DropPending();
  capture->encoder()->set_head(from);
  life.On(Life::Drops{});
  board.Dropped();
  NeedRepairLocked(RepairNeed::kUnknown);
  if (save) SaveIndexLocked();
}

void Core::NeedRepairLocked(RepairNeed need) {
  life.On(Life::Lacks{need});
  lag.Waits(options.clock->WallMs());
  board.Poke();
}

void Core::LeaveBaseLocked() {
  VoidSnapshotLocked();
  ship.new_base = true;
  ship.restorable = false;
  ship.snapshot_number = 0;
  ship.snapshot_bytes = 0;
  ship.log_bytes = 0;
  board.Shipped(ship.shipped.segment_number, /*restorable=*/false);
  lag.Waits(options.clock->WallMs());
}

bool Core::CopyMayBeginLocked() const {
  const bool repairs = ship.restorable && life.need() != RepairNeed::kAll;
  return (life.whole() || repairs) && !capture->encoder()->open() && !ship.new_base &&
         !ship.taking_over;
}

void Core::AbortSnapshotLocked() {
  if (!copy.active()) return;
  // What a first copy has put into the index is worth nothing without its manifest.
  if (copy.waits() && !ship.restorable) NeedRepairLocked(RepairNeed::kAll);
  copy.Void();
  capture->encoder()->EndSnapshot();
}

void Core::VoidSnapshotLocked() {
  AbortSnapshotLocked();
  copy.Void();
}

bool Core::EndCopyLocked() {
  const Encoder& encoder = *capture->encoder();
  if (!copy.active() || encoder.open() || index->unknown() != 0) return false;
  // What is encoded from here on needs every frame as it was read.
  if (!copy.Forget()) {
    VoidSnapshotLocked();
    ship_work.notify_all();
    return false;
  }
  copy.End(encoder.head());
  capture->encoder()->EndSnapshot();
  return true;
}

void Core::SettleLagLocked() {
  if (!life.open() || !ship.restorable || !life.whole()) {
    return lag.Waits(options.clock->WallMs());
  }
  const auto& pending = outbox->pending();
  lag.Settle(ship.shipped.segment_number, pending.empty() ? 0 : pending.front().head.time_ms);
}

void Core::DistrustLocked() {
  if (!life.open()) return;
  // First: memory may run out again in what follows.
  life.On(Life::Distrusts{});
  VoidSnapshotLocked();
}

void Core::ThreadWorks() {
  {
    std::lock_guard<std::mutex> lock(mutex);
    if (thread_error.ok() || (capture != nullptr && !life.open())) return;
    thread_error = Status::Ok();
  }
  threads.Recovered("all threads work again",
                    {{"db", options.settings.path}, {"replica", options.replica}});
}

void Core::Stop(const Status& why) {
  std::lock_guard<std::mutex> lock(mutex);
  StopLocked(why);
}

void Core::StopLocked(const Status& why, Level level) {
  // The newer writer may be the process that has made the state folder anew.
  if (why.code() == Code::kFenced) end_if_removed();
  EndLocked(Life::GivesUp{why}, level);
}

void Core::LetGoLocked(const Status& why, Level level) { EndLocked(Life::LetsGo{why}, level); }

void Core::EndLocked(const Life::Event& end, Level level) {
  const bool over = life.over();
  life.On(end);
  if (over) return;
  const Status& why = life.why();
  last_error = why;
  // The outbox keeps nothing while it rests.
  const bool rests = outbox != nullptr && outbox->resting();
  if (why.code() == Code::kFenced && !std::exchange(ship.fenced, true)) {
    rests ? SaveIndexLocked() : SaveShipLocked();
  }
  handover.Close();
  board.Deactivate();
  ship_work.notify_all();
  const std::string line = "replication stopped: " + why.message();
  if (level != Level::kError) return Log(level, line);
  complaint = line;
  RemindLocked();
}

void Core::FreeLocked() {
  copy.Leave();
  life.On(Life::Freed{});
  capture.reset();
  outbox.reset();
  index.reset();
}

void Core::RemindLocked() const {
  if (complaint.empty()) return;
  options.logger->Remind(Level::kError, complaint,
                         {{"db", options.settings.path}, {"replica", options.replica}});
}

void Core::Leave() {
  std::lock_guard<std::mutex> lock(mutex);
  life.On(Life::Leaves{});
  ship_work.notify_all();
}

bool Core::AllShippedLocked() { return lag.since_ms() == 0 && board.NotTaken().first_ms == 0; }

bool Core::IsReplaced() const {
  const FileId there = FileIdOf(options.settings.path);
  return options.file.known() && there.known() && !(there == options.file);
}

bool Core::IsAway() const {
  return options.file.known() && !(FileIdOf(options.settings.path) == options.file);
}

void Core::RetireLocked() {
  const bool waits =
      life.open() && ship.restorable && !UnhealthyLocked() && !outbox->pending().empty();
  if (waits) return;
  const bool lost = ship.restorable && !AllShippedLocked();
  const std::string why = "another file has taken the database's place";
  if (!lost) return StopLocked({Code::kForeign, why}, Level::kInfo);
  StopLocked({Code::kForeign, why + " before all that was committed to it was shipped"},
             Level::kWarn);
}

std::string Core::ForeignRemedy() const {
  return "give this database a prefix of its own, or restore it from there; if the replica is to "
         "follow it from now on: backstay adopt " +
         options.settings.path;
}

std::string Core::FolderRemedy() const {
  return "; what is committed is shipped from memory meanwhile; remedy: room on the disk of " +
         options.folder + ", and the right for this program to write there";
}

std::string Core::FencedRemedy() const {
  return "restore this database from it before writing again; if the replica is to follow this one "
         "instead: backstay adopt " +
         options.settings.path;
}

std::string Core::DamageRemedy() const {
  return "; to go on behind what is damaged, with nothing deleted, end this application: backstay "
         "adopt " +
         options.settings.path;
}

std::optional<std::vector<TransactionPtr>> Core::Bridge(const TrailPlace& from,
                                                        const TrailPlace& to) {
  auto steps = trail.Between(from, to);
  if (!steps) return std::nullopt;
  return TransactionsOf(*steps, options.clock->WallMs());
}

bool Core::WriteActive() { return options.host->Untold() || JournalActive(options.settings.path); }

Handover::Options Core::HandoverOptions() {
  const std::string& path = options.settings.path;
  Host* host = options.host;
  Handover::Options handover;
  handover.look = [path, host] { return host->Look(path); };
  handover.write_active = [this] { return WriteActive(); };
  handover.bridge = [this](const FileLook& from, const FileLook& to) {
    return Bridge(PlaceOf(from), PlaceOf(to));
  };
  return handover;
}

Neighbours::Options Core::NeighboursOptions() {
  Neighbours::Options neighbours;
  neighbours.folder = options.folder;
  // A file that was moved away is still written to by those who have it open.
  const FileId id = options.file.known() ? options.file : FileIdOf(options.settings.path);
  const std::string file = std::to_string(id.inode);
  neighbours.replica = static_cast<uint32_t>(Hash(AsBytes(options.replica + '\n' + file)));
  neighbours.patience_ms = options.settings.sync_timeout_ms;
  neighbours.board = &board;
  neighbours.clock = options.clock;
  neighbours.log = [this](Level level, const std::string& message) { Log(level, message); };
  neighbours.recovered = [this](const std::string& message) { Recovered(message); };
  return neighbours;
}

void Core::Log(Level level, const std::string& message) const {
  options.logger->Log(level, message,
                      {{"db", options.settings.path}, {"replica", options.replica}});
}

void Core::Recovered(const std::string& message) const {
  options.logger->Recovered(message, {{"db", options.settings.path}, {"replica", options.replica}});
}

}  // namespace backstay
