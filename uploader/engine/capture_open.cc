// CaptureLoop, the part that starts: reads the state folder and finds its place in the database's
// files.

#include <fcntl.h>

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "uploader/engine/capture_loop.h"
#include "uploader/state/database_mark.h"
#include "uploader/state/database_origin.h"

namespace backstay {
namespace {

// A database may have been larger than it is, as far as that is worth memory.
uint64_t MostIndexBytes(uint64_t pages) {
  constexpr uint64_t kAlways = 64 << 20;
  constexpr uint64_t kBytesPerPage = 32;
  return kAlways + pages * kBytesPerPage;
}

// Then all that was committed waits since the state folder was made, whose lock is written once.
bool NeverRestorable(const ShipState& ship) {
  return !ship.restorable && ship.snapshot_above == 0 && ship.BaseOrder() == 0;
}

int64_t BeganMs(const std::string& folder) {
  constexpr int64_t kNsPerMs = 1000000;
  const FileStamp lock = StampOf(folder + "/lock");
  return lock.size < 0 ? 0 : lock.mtime_ns / kNsPerMs;
}

}  // namespace

// Of the WAL that holds the committed end, else from the database header
// (sqlite.org/fileformat2.html, 1.3.2), else, of a new database, from any WAL's; 0: not known. A
// WAL that another database left behind is part of this one once SQLite has recovered it, and then
// the database has the WAL's page size.
uint32_t CaptureLoop::PageSize(const WalTarget& to) {
  const std::optional<WalHeader> wal = WalHeaderOf(core_->options.settings.path);
  const bool holds =
      wal && to.max_frame > 0 && wal->start.salt1 == to.salt1 && wal->start.salt2 == to.salt2;
  if (holds) return wal->page_size;
  uint8_t head[100] = {};
  int64_t got = core_->options.host->Read(head, sizeof head, 0);
  const uint32_t size = got == sizeof head ? PageSizeOfHeader(Bytes(head, sizeof head)) : 0;
  if (size != 0) return size;
  return wal ? wal->page_size : 0;
}

bool CaptureLoop::OpenLocked(const WalTarget& to) {
  uint32_t page_size = PageSize(to);
  if (page_size == 0) return false;
  if (Settles(to)) {
    retry_at_ms_ = core_->options.clock->MonotonicMs() + kRetryMs;
    return false;
  }
  // What was noted of the files and not encoded may be lost: only a place in this very WAL counts.
  if (loaded_) open_stamp_ = {};
  Result<std::optional<IndexFile>> read = ReadIndexLocked(page_size);
  core_->local_error = read.status();
  if (!read.ok()) {
    retry_at_ms_ = core_->options.clock->MonotonicMs() + kLocalRetryMs;
    Failed(read.status());
    return false;
  }
  std::optional<IndexFile> file = std::move(*read);
  const bool known = file.has_value();
  const uint32_t before = loaded_ ? core_->identity.page_size
                          : known ? file->identity.page_size
                                  : 0;
  if (before != 0 && before != page_size && PageSizeChangesLocked()) return false;
  const bool again = loaded_;
  const bool usable = LoadLocked(page_size, std::move(file));
  if (core_->ship.fenced) {
    core_->StopLocked({Code::kFenced, "a newer writer owns the replica; " + core_->FencedRemedy()});
    return false;
  }
  Status placed = Status::Ok();
  const bool goes_on = usable && !again && TakeUpCopyLocked();
  if (!goes_on) core_->copy.Void();
  if (core_->GoesOnLocked()) {
    static_cast<void>(FollowTrailLocked(to));
    RelocateLocked(to);
  } else {
    placed = core_->capture->StartFresh(to);
    relocate_ = false;
  }
  if (!placed.ok()) {
    core_->life.On(Life::Distrusts{});
    if (placed.retryable() && ++stale_tries_ < kMaxStaleTries) {
      retry_at_ms_ = core_->options.clock->MonotonicMs() + kRetryMs;
    }
    if (placed.code() != Code::kUnavailable) Failed(placed);
    return false;
  }
  core_->save_above = core_->outbox->file_bytes() + (1 << 20);
  core_->board.Shipped(core_->ship.shipped.segment_number, core_->ship.restorable);
  core_->ship_work.notify_all();
  return true;
}

// A snapshot that an earlier process has begun goes on: all that was encoded since was encoded for
// it, and nothing of it is another log's. False: there is none.
bool CaptureLoop::TakeUpCopyLocked() {
  const ShipState& ship = core_->ship;
  const Identity& identity = core_->identity;
  const auto size = static_cast<uint64_t>(std::max<int64_t>(core_->options.host->Size(), 0));
  auto left = core_->copy.Left(MostIndexBytes(size / identity.page_size));
  if (!left || !redo_.trusted || !redo_.read || ship.writer_id == 0 || ship.taking_over ||
      ship.new_base || core_->capture->encoder()->open()) {
    return false;
  }
  const bool same_log = left->database_id == identity.id && left->page_size == identity.page_size &&
                        left->writer_id == ship.writer_id && left->epoch == ship.epoch &&
                        left->base == ship.base && left->first == !ship.restorable;
  const bool newest =
      left->number > ship.snapshot_above && left->number > ship.snapshot_number &&
      left->number <= ship.next_log_number &&
      left->start.segment_number <= core_->capture->encoder()->head().segment_number;
  if (!same_log || !newest) return false;
  core_->capture->encoder()->GoOnWithSnapshot(left->first, HeldLocked(*left));
  KnowCopiedLocked(*left);
  core_->copy.GoOn(std::move(*left));
  return true;
}

// Pages of which a segment since the copy began may hold what they were. Should the index lose them
// from here on, what is copied of them says nothing: replayed on it, the segment undoes it.
std::vector<bool> CaptureLoop::HeldLocked(const BegunSnapshot& left) const {
  const PageIndex& index = *core_->index;
  // What the database was cut off by is in the log as well.
  std::vector<bool> held(std::max(index.pages(), left.pages), true);
  for (uint32_t pgno = 1; pgno <= index.pages(); ++pgno) held[pgno - 1] = index.Get(pgno) != 0;
  return held;
}

// The index file is as old as a first copy: what was copied since is known by what was kept of it.
void CaptureLoop::KnowCopiedLocked(const BegunSnapshot& left) {
  PageIndex* index = core_->index.get();
  uint32_t pgno = 0;
  for (const BegunSnapshot::Frame& frame : left.frames) {
    for (uint64_t hash : frame.hashes) {
      if (++pgno > index->pages()) break;
      if (pgno != LockBytePage(left.page_size) && index->Get(pgno) == 0) index->Set(pgno, hash);
    }
  }
}

bool CaptureLoop::IsReplaced(const DatabaseId& id) const {
  return LacksMark({core_->options.settings.path, core_->options.folder}, id);
}

// nullopt: there is no index file that can be used. An error: what one says is not known yet.
Result<std::optional<IndexFile>> CaptureLoop::ReadIndexLocked(uint32_t page_size) {
  const auto say = [this](const std::string& what) {
    core_->Log(Level::kWarn, "state folder: " + what + "; starting without it");
    return std::optional<IndexFile>();
  };
  // Of whatever page size it was written for.
  constexpr uint64_t kLeastPageSize = 512;
  const auto size = static_cast<uint64_t>(std::max<int64_t>(core_->options.host->Size(), 0));
  Result<std::string> bytes =
      ReadFile(core_->options.folder + "/index", MostIndexBytes(size / kLeastPageSize));
  if (!loaded_) core_->left.any = bytes.status().code() != Code::kNotFound;
  if (bytes.status().code() == Code::kNotFound) return std::optional<IndexFile>();
  if (bytes.status().code() == Code::kInvalid) return say(bytes.status().message());
  if (!bytes.ok()) return bytes.status();
  Result<IndexFile> parsed = ParseIndexFile(AsBytes(*bytes));
  if (!parsed.ok()) return say(parsed.status().message());
  if (parsed->replica != core_->options.replica) return say("belongs to another replica");
  if (parsed->identity.page_size != page_size) {
    core_->left.others = !loaded_ && parsed->ship.marked && IsReplaced(parsed->identity.id);
    if (core_->left.others) return say("belongs to a database of another page size");
  }
  return std::optional<IndexFile>(std::move(*parsed));
}

// Takes up the state that the index file tells of. False: there is nothing usable, and everything
// starts fresh. Once more when capture has failed halfway: then identity and place in the log are
// those of this process.
bool CaptureLoop::LoadLocked(uint32_t page_size, std::optional<IndexFile> known) {
  Core* core = core_;
  const bool again = loaded_;
  bool usable = known.has_value();
  core->family = ReadFamily(core->options.settings.path);
  const bool changed = AssembleLocked(page_size, usable ? &*known : nullptr);
  if (usable && !again && core->ship.marked && IsReplaced(core->identity.id)) {
    usable = IsMovedLocked();
    if (!usable) LeaveStateLocked(page_size);
  }
  if ((!redo_.trusted || !redo_.exact) && !changed) {
    core->Log(Level::kWarn,
              "state folder: index and outbox do not fit together; comparing all pages");
    core->index->SetAllUnknown();
  }
  const int64_t began = BeganMs(core->options.folder);
  if (usable && !again && began != 0 && NeverRestorable(core->ship)) {
    core->lag.Waits(std::min(core->options.clock->WallMs(), began));
  }
  loaded_ = true;
  core->life.On(Life::Opened{});
  if (changed) SaveBaseLocked();
  if (!usable) core->SaveIndexLocked();
  return usable || again;
}

// `file` null: a new state, under the identity of this process or a new one. True: the state is one
// of another page size, and a new base begins.
bool CaptureLoop::AssembleLocked(uint32_t page_size, IndexFile* file) {
  Core* core = core_;
  const bool again = loaded_;
  core->capture.reset();
  if (!again) {
    core->identity = file != nullptr ? file->identity : Identity{};
    core->ship = file != nullptr ? file->ship : ShipState{};
  }
  if (file == nullptr && !again) {
    core->identity.page_size = page_size;
    for (uint8_t& byte : core->identity.id) byte = static_cast<uint8_t>(core->options.random());
  }
  const bool changed = core->identity.page_size != page_size;
  std::vector<uint64_t> hashes;
  if (file != nullptr && !changed) hashes = std::move(file->hashes);
  core->index = std::make_unique<PageIndex>(LockBytePage(page_size), std::move(hashes));
  auto outbox = std::make_unique<Outbox>(core->options.folder + "/outbox");
  // Then index and outbox file lack what this process has decided since.
  const bool unsaved = again && core->outbox != nullptr && core->outbox->resting();
  if (unsaved) outbox->Rest();
  core->outbox = std::move(outbox);
  MakeCaptureLocked(page_size);
  if (file != nullptr) core->capture->SetState(file->encoded, file->wal, file->stamp);
  redo_ = {};
  if (file == nullptr) (void)WriteFileAtomic(core->options.folder + "/outbox", "", false);
  core->outbox->SetOwner(core->identity.id);
  OpenOutboxLocked(again, /*apply=*/!changed);
  if (!core->capture->place().file().settled) core->capture->WalGone({});
  if (changed) BeginBaseLocked(page_size);
  if (!OutboxIsWholeLocked() || unsaved) {
    core->outbox->DropPending();
    core->capture->encoder()->set_head(core->ship.shipped);
    redo_.trusted = false;
  }
  return changed;
}

// The file without its mark is nevertheless the one that the state folder was left by, brought here
// with it by a program that loses attributes (tar, rsync): size and time are as they were left.
bool CaptureLoop::IsMovedLocked() {
  constexpr int64_t kNsPerS = 1000000000;
  const FileStamp& left = core_->capture->place().file();
  const int64_t since = open_stamp_.mtime_ns - left.mtime_ns;
  // Some of these programs keep whole seconds.
  const bool same_time =
      since == 0 || (open_stamp_.mtime_ns % kNsPerS == 0 && since > -kNsPerS && since < 0);
  if (left.size < 0 || open_stamp_.size != left.size || !same_time) return false;
  core_->ship.marked = false;
  return true;
}

// The state is another file's; should this one hold the same pages as its replica, it may go on.
void CaptureLoop::LeaveStateLocked(uint32_t page_size) {
  core_->left.others = true;
  core_->left.id = core_->identity.id;
  core_->Log(Level::kWarn, "state folder: is that of another file than " +
                               core_->options.settings.path + "; starting without it");
  static_cast<void>(AssembleLocked(page_size, nullptr));
}

// `apply`: what the segments of the outbox changed belongs into the index.
void CaptureLoop::OpenOutboxLocked(bool again, bool apply) {
  Core* core = core_;
  OutboxRedo redo;
  redo.segment = [this, apply](const EncodedSegment& encoded) {
    if (apply) ApplyRedoLocked(encoded);
  };
  redo.ship = [this, core, again](const ShipState& ship) {
    // One from before the index may be left where the file could not be written anew.
    if (again || ship.BaseOrder() < core->ship.BaseOrder()) return;
    if (KnowsLocked(ship.shipped)) {
      core->ship = ship;
    } else {
      redo_.trusted = false;
    }
  };
  redo.stamp = [core](const FileStamp& stamp) { core->capture->WalGone(stamp); };
  const Status opened = core->outbox->Open(redo);
  redo_.read = opened.ok();
  if (!opened.ok()) Failed(opened);
  if (!again) return;
  core->outbox->Shipped(core->ship.shipped.segment_number);
  // A PUT under way is settled against the log, a Sync() by the next pass.
  core->life.On(Life::Drops{});
  core->board.Dropped();
}

// The log ends where index or outbox have been: else the outbox is another database's, or of
// another time.
bool CaptureLoop::KnowsLocked(const LogHead& head) const {
  const auto same = [&head](const LogHead& known) {
    return known.segment_number == head.segment_number && known.segment_hash == head.segment_hash;
  };
  const auto& pending = core_->outbox->pending();
  return same(core_->ship.shipped) || same(core_->capture->encoder()->head()) ||
         std::any_of(pending.begin(), pending.end(), [&](auto& one) { return same(one.head); });
}

// False: segments between what is shipped and what is encoded are lost or others, and the log must
// neither skip nor mix them.
bool CaptureLoop::OutboxIsWholeLocked() const {
  LogHead head = core_->ship.shipped;
  for (const Outbox::Pending& pending : core_->outbox->pending()) {
    Result<Outbox::Waiting> segment = core_->outbox->ReadProven(pending);
    if (!segment.ok()) return false;
    const SegmentHeader& header = segment->header;
    if (header.number != head.segment_number + 1 || header.previous_hash != head.segment_hash ||
        (header.page_size != core_->identity.page_size && !core_->ship.new_base)) {
      return false;
    }
    head = pending.head;
  }
  const LogHead& encoded = core_->capture->encoder()->head();
  return head.segment_number == encoded.segment_number && head.segment_hash == encoded.segment_hash;
}

void CaptureLoop::ApplyRedoLocked(const EncodedSegment& encoded) {
  PageIndex* index = core_->index.get();
  Encoder* encoder = core_->capture->encoder();
  if (encoded.head.segment_number <= encoder->head().segment_number) return;
  const bool next = encoded.head.segment_number == encoder->head().segment_number + 1;
  // A record names every page by which the database grew, unless a repair goes on behind it: else
  // only the file justifies its size in memory.
  const int64_t bytes = int64_t{encoded.pages} * core_->identity.page_size;
  const bool justified = encoded.pages <= index->pages() + encoded.hashes.size() ||
                         bytes <= core_->options.host->Size();
  if (justified) {
    index->GrowZeroed(encoded.pages, core_->identity.page_size);
    for (const auto& [pgno, hash] : encoded.hashes) {
      if (pgno <= index->pages()) index->Set(pgno, hash);
    }
    index->Resize(encoded.pages);
  }
  // In the middle of a repair the index lacked what was still to be read.
  // While a first copy is made it lacks what was copied since it was saved.
  redo_.exact = !core_->ship.restorable || index->checksum() == encoded.checksum;
  redo_.trusted = redo_.trusted && next && justified && (redo_.exact || encoded.head.open);
  // With frames of a WAL in it, the file alone is not what is encoded.
  const bool in_wal = (encoded.wal.salt1 | encoded.wal.salt2) != 0;
  core_->capture->SetState(encoded.head, encoded.wal,
                           in_wal ? FileStamp{} : core_->capture->place().file());
}

void CaptureLoop::MakeCaptureLocked(uint32_t page_size) {
  Host* host = core_->options.host;
  NoteBoard* board = &core_->board;
  Capture::Options options;
  options.database_path = core_->options.settings.path;
  options.page_size = page_size;
  options.cache_bytes = core_->options.settings.page_cache;
  options.file = [host](void* out, int64_t n, int64_t offset) {
    return host->Read(out, n, offset);
  };
  options.file_size = [host] { return host->Size(); };
  options.commit_time = [board](uint32_t salt1, uint32_t frame) {
    return board->CommitTime(salt1, frame);
  };
  options.hurried = [this] { return IsHurriedLocked(); };
  options.closed = [host] { return !host->InUse(); };
  options.index = core_->index.get();
  options.outbox = core_->outbox.get();
  options.clock = core_->options.clock;
  core_->capture = std::make_unique<Capture>(std::move(options));
}

// Finds the place where the state stands in the files as they are now.
void CaptureLoop::RelocateLocked(const WalTarget& to) {
  relocate_ = false;
  if (core_->ship.marked && IsReplaced(core_->identity.id)) {
    return core_->StopLocked({Code::kForeign, "the database file was replaced by another one: " +
                                                  core_->ForeignRemedy()});
  }
  Capture* capture = core_->capture.get();
  Result<bool> found = capture->Locate(to, open_stamp_);
  // Of a first copy it is what is not copied yet.
  const bool copied = !core_->ship.restorable && core_->copy.active();
  const bool known =
      core_->index->unknown() == 0 || core_->life.need() == RepairNeed::kSome || copied;
  if (found.ok() && *found && known) return;
  if (!core_->ship.restorable) return core_->NeedRepairLocked(RepairNeed::kAll);
  core_->Log(Level::kInfo,
             "the database may have changed while it was not watched; comparing all pages");
  core_->NeedRepairLocked(RepairNeed::kAll);
}

}  // namespace backstay
