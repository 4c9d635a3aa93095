// LogWriter, the part that runs before the first PUT: identity and takeover.

#include <algorithm>
#include <utility>

#include "uploader/engine/log_writer.h"
#include "uploader/format/keys.h"
#include "uploader/replica/absence.h"
#include "uploader/state/database_mark.h"

namespace backstay {

// Ok: the replica is there and ours. kNotFound: there is none.
Status LogWriter::FindReplica() {
  Result<Identity> found = look_.FindIdentity();
  if (found.status().code() == Code::kNewer) {
    return found.status().Wrap(core_->options.replica + "/" + kIdentityKey);
  }
  if (!found.ok()) return found.status();
  BACKSTAY_TRY(CheckOriginal(*found));
  Status fits = CheckIdentity(*found);
  return fits.ok() ? fits : Adopt(*found);
}

uint32_t LogWriter::PageSize() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return core_->identity.page_size;
}

// Once per process; on an error that a retry may mend it is called again.
Status LogWriter::Connect() {
  const int64_t began = look_.Begin();
  BACKSTAY_TRY(OwnLog());
  BACKSTAY_TRY(FindManifest());
  if (!created_) BACKSTAY_TRY(MakeGood(/*identity=*/false));
  if (!created_) BACKSTAY_TRY(FollowUnmet());
  NoteItsPlace();
  look_.Done(began);
  Mark();
  return Status::Ok();
}

// The process that made the first snapshot may have died before its state said so: what is in the
// log behind it is restored, so all of it has to be there.
Status LogWriter::FindManifest() {
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    if (core_->ship.restorable || created_ || core_->ship.new_base) return Status::Ok();
  }
  Result<uint64_t> newest = look_.NewestSnapshot();
  if (!newest.ok()) return newest.status();
  if (*newest == 0) return Status::Ok();
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (!core_->life.open()) return {Code::kUnavailable, "capture starts over", true};
  core_->ship.restorable = true;
  core_->proven_ms = core_->options.clock->WallMs();
  core_->ship.snapshot_number = *newest;
  core_->VoidSnapshotLocked();
  core_->NeedRepairLocked(RepairNeed::kAll);
  core_->board.Dropped();
  core_->SaveIndexLocked();
  core_->board.Shipped(core_->ship.shipped.segment_number, true);
  return Status::Ok();
}

Status LogWriter::OwnLog() {
  Status found = FindReplica();
  if (found.code() == Code::kNotFound) {
    found = CreateReplica();
    // Taken between the two, perhaps by a try of ours whose answer was lost.
    if (found.code() == Code::kExists) found = FindReplica();
  }
  BACKSTAY_TRY(found);
  BACKSTAY_TRY(fence_.Probe());
  ShipState ship;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    ship = core_->ship;
  }
  if (ship.epoch > 0 && ship.writer_id != 0 && !ship.taking_over) {
    Result<bool> stranger = fence_.HasStranger();
    if (!stranger.ok() || !*stranger) return stranger.status();
  }
  // Whoever only looks at a restored database takes nothing away from who writes to its replica:
  // the log is taken over when there is something to append.
  if (ship.epoch > 0 && ship.writer_id == 0 && ship.restorable) return Status::Ok();
  if (ship.epoch > 0) return TakeOver();
  std::lock_guard<std::mutex> lock(core_->mutex);
  core_->ship.epoch = 1;
  core_->ship.void_below = 1;
  core_->ship.writer_id = core_->options.random() | 1;
  core_->SaveIndexLocked();
  return Status::Ok();
}

// The page size in it is that of the database's first days.
Status LogWriter::CheckIdentity(const Identity& found) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return found.id == core_->identity.id ? Status::Ok() : Foreign(found.id);
}

Status LogWriter::CreateReplica() {
  if (Known()) return MakeGood(/*identity=*/true);
  RetryOptions once;
  once.attempts = 1;
  Result<WithoutIdentity> there = LookWithoutIdentity(ReplicaReader(core_->options.client, once));
  if (!there.ok()) return there.status();
  if (there->found != WithoutIdentity::kNothing) {
    return {Code::kForeign, core_->options.replica + " holds other objects (" + there->key +
                                ") but no " + kIdentityKey + ": choose an empty prefix"};
  }
  ClaimOrigin();
  std::string identity;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    identity = EncodeIdentity(core_->identity);
  }
  Status created = fence_.Create(kIdentityKey, AsBytes(identity));
  created_ = created.ok();
  return created;
}

// Under what id is saved before the record is put: a later life would take one that it does not
// know for another writer's. A folder that cannot be written keeps nothing from being shipped: then
// the mark on the file, which comes next, tells whose it is.
Status LogWriter::AnnounceTakeover() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  // What is to be saved is just being read again.
  if (!core_->life.open()) return {Code::kUnavailable, "capture starts over", true};
  ShipState& ship = core_->ship;
  // Its manifest could name an end of the log that lies before what the record continues: neither
  // it nor anything behind could be restored. None begins before the record is in the log.
  core_->VoidSnapshotLocked();
  writer_id_ = ship.taking_over ? ship.writer_id : core_->options.random() | 1;
  ship.writer_id = writer_id_;
  ship.taking_over = true;
  core_->SaveIndexLocked();
  return Status::Ok();
}

// A takeover that a crash interrupted goes on under its own writer id: its record may be in the
// log.
Status LogWriter::TakeOver() {
  if (writer_id_ == 0) BACKSTAY_TRY(AnnounceTakeover());
  // Before this writer announces itself: that stops the one that has the log.
  if (!fence_.refuses()) BACKSTAY_TRY(FollowLog());
  for (bool done = false; !done;) BACKSTAY_TRY(TryTakeOver(&done));
  Mark();
  SayForeign();
  return Status::Ok();
}

bool LogWriter::NewBaseDue() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return core_->ship.new_base;
}

Status LogWriter::PutTakeover(TakeoverAt* takeover) {
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    if (!core_->life.open()) return {Code::kUnavailable, "capture starts over", true};
    const ShipState& ship = core_->ship;
    takeover->epoch = ship.epoch + 1;
    takeover->number = ship.next_log_number;
    takeover->record = {core_->identity.id,
                        writer_id_,
                        core_->options.clock->WallMs(),
                        ship.shipped.segment_number,
                        ship.shipped.segment_hash,
                        ship.shipped.txid};
    // What waits has the page size of before, and goes first.
    const bool last = core_->outbox->pending().empty();
    if (ship.new_base && last) takeover->record.page_size = core_->identity.page_size;
  }
  return fence_.Create(
      LogKey(takeover->number),
      AsBytes(EncodeTakeover(takeover->epoch, takeover->number, takeover->record)));
}

Result<std::optional<Takeover>> LogWriter::OwnTakeover(uint64_t number) {
  Result<std::string> bytes = core_->options.client->Get(LogKey(number));
  if (!bytes.ok()) return bytes.status();
  Result<LogObject> object = ParseLogObject(AsBytes(*bytes), number);
  if (!object.ok()) return object.status().Wrap(LogKey(number));
  std::optional<Takeover> own;
  if (IsOwn(object->takeover)) own = object->takeover;
  return own;
}

// The change of the page size is a transaction of its own, the first of the new base. Where the
// page size has changed once more since the record was written, another one follows.
void LogWriter::BeginBaseLocked(const TakeoverAt& takeover) {
  ShipState& ship = core_->ship;
  ship.base = takeover.number;
  ship.new_base = takeover.record.page_size != core_->identity.page_size;
  ship.shipped.txid = takeover.record.txid + 1;
  ship.shipped.time_ms = takeover.record.time_ms;
  ship.shipped.open = false;
  core_->capture->encoder()->set_head(ship.shipped);
}

Status LogWriter::TryTakeOver(bool* done) {
  TakeoverAt takeover;
  Status put = PutTakeover(&takeover);
  if (put.code() == Code::kExists) {
    Result<std::optional<Takeover>> own = OwnTakeover(takeover.number);
    if (!own.ok()) return own.status();
    if (!*own) return FollowLog();
    takeover.record = **own;
  } else if (!put.ok()) {
    return put;
  }
  // The overtaken writer may have packed what this state does not know; then the record is void.
  Result<bool> packed = NextIsPacked();
  if (!packed.ok()) return packed.status();
  if (*packed) return FollowPacks();
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (!core_->life.open()) return {Code::kUnavailable, "capture starts over", true};
  core_->ship.epoch = takeover.epoch;
  core_->ship.void_below = takeover.epoch;
  core_->ship.writer_id = std::exchange(writer_id_, 0);
  core_->ship.taking_over = false;
  core_->ship.next_log_number = takeover.number + 1;
  if (takeover.record.page_size != 0) BeginBaseLocked(takeover);
  core_->SaveIndexLocked();
  core_->shipped.Clear();
  core_->Log(Level::kInfo, "took over the log at object " + std::to_string(takeover.number) +
                               ", epoch " + std::to_string(takeover.epoch));
  *done = true;
  return Status::Ok();
}

}  // namespace backstay
