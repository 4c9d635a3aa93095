// LogWriter, the part that looks at the bucket again: what it has lost (a prefix that was emptied,
// a bucket made anew, an object deleted) is told and made good from this database.

#include <utility>

#include "uploader/engine/log_writer.h"
#include "uploader/format/keys.h"
#include "uploader/state/replica_place.h"

namespace backstay {

// This state has written to the replica, or comes from it.
bool LogWriter::Known() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return core_->ship.epoch > 0;
}

Status LogWriter::Glance() {
  const int64_t began = look_.Begin();
  Result<Identity> found = look_.FindIdentity();
  if (!found.ok() || !CheckIdentity(*found).ok()) return Look();
  look_.Glanced(began);
  return Status::Ok();
}

Status LogWriter::Prove() {
  if (look_.Old()) return Look();
  if (!look_.IsManifestsTurn()) return Glance();
  const int64_t began = look_.Begin();
  Result<bool> there = look_.HasManifest();
  if (!there.ok() || !*there) return Look();
  look_.Proved(began);
  return Status::Ok();
}

Status LogWriter::Look() {
  const int64_t began = look_.Begin();
  Result<Identity> found = look_.FindIdentity();
  const bool missing = found.status().code() == Code::kNotFound;
  if (!found.ok() && !missing) return found.status();
  if (found.ok()) BACKSTAY_TRY(CheckIdentity(*found));
  BACKSTAY_TRY(MakeGood(missing));
  if (writer_id_ != 0) BACKSTAY_TRY(TakeOver());  // one that failed halfway
  BACKSTAY_TRY(LookAhead());
  look_.Done(began);
  return Status::Ok();
}

// What is missing may be away with its file system, and come back with it.
Status LogWriter::ProvePlace() {
  ReplicaClient* client = core_->options.client;
  BACKSTAY_TRY(client->ProvePlace());
  const CoreOptions& options = core_->options;
  if (!IsOtherPlace(options.folder, options.replica, client->PlaceMark())) return Status::Ok();
  return {
      Code::kIo,
      "there is no replica at " + options.replica +
          ", and what is there is not the file system that it was on: mount that; or, if it is to "
          "begin anew on this one, end this application: backstay adopt " +
          options.settings.path};
}

void LogWriter::NoteItsPlace() {
  const CoreOptions& options = core_->options;
  Status noted = NotePlace(options.folder, options.replica, options.client->PlaceMark());
  if (!noted.ok()) core_->Log(Level::kDebug, noted.message());
}

// `identity`: it is missing. Whoever waits for the replica waits from the moment on when it is
// known that something is gone, whether or not it can be made good just now.
Status LogWriter::MakeGood(bool identity) {
  if (identity) BACKSTAY_TRY(ProvePlace());
  Result<MissingObjects> missing = look_.FindRest();
  if (!missing.ok()) return missing.status();
  Result<bool> intact = fence_.Intact();
  if (!intact.ok()) return intact.status();
  missing->identity = identity;
  missing->head |= !*intact;
  if (missing->any()) {
    look_.Lost();
    core_->missing.Failed(
        "the replica is gone from the bucket, in whole or in part (missing: " + missing->Names() +
            "); it is made good from this database, what it held before may be lost; see who "
            "deletes there: a rule of the bucket, perhaps",
        {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
  }
  const bool anew = missing->snapshot || missing->log();
  if (anew) BACKSTAY_TRY(BeginAnew(*missing));
  if (identity) BACKSTAY_TRY(RewriteIdentity());
  if (anew) return TakeOver();
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (!core_->ship.restorable) return Status::Ok();
  core_->missing.Recovered("the replica is whole again", {{"db", core_->options.settings.path},
                                                          {"replica", core_->options.replica}});
  return Status::Ok();
}

// What is ours there is settled when it is put again; behind it another writer may have gone on.
Status LogWriter::LookAhead() {
  if (fence_.refuses()) return Status::Ok();
  uint64_t next = 0;
  uint64_t epoch = 0;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    next = core_->ship.next_log_number;
    epoch = core_->ship.epoch;
  }
  for (uint64_t number = next;; ++number) {
    Result<std::string> bytes = core_->options.client->Get(LogKey(number));
    if (bytes.status().code() == Code::kNotFound) return HoldOrTakeOver();
    if (!bytes.ok()) return bytes.status();
    Result<LogObject> object = ParseLogObject(AsBytes(*bytes), number);
    if (!object.ok()) return object.status().Wrap(LogKey(number));
    if (number == next && IsDoubtful(*object)) continue;
    if (number == next || object->header.epoch > epoch) return StepOver(*object, number);
    return HoldOrTakeOver();
  }
}

// Another writer that has announced itself may have taken the log over where an object of ours lies
// (it was under way), and packed what came behind. One that did not in all the time may be gone:
// then this writer goes on like one that has never had the log.
Status LogWriter::HoldOrTakeOver() {
  Status held = fence_.Hold();
  if (held.code() != Code::kContended) return held;
  Result<bool> packed = NextIsPacked();
  if (!packed.ok()) return packed.status();
  if (*packed) BACKSTAY_TRY(FollowPacks());
  return *packed || fence_.WaitedEnough() ? TakeOver() : held;
}

// kForeign: somebody has begun another replica there meanwhile.
Status LogWriter::RewriteIdentity() {
  ClaimOrigin();
  std::string identity;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    identity = EncodeIdentity(core_->identity);
  }
  Status put = fence_.Create(kIdentityKey, AsBytes(identity));
  if (put.code() != Code::kExists) return put;
  Result<Identity> found = look_.FindIdentity();
  return found.ok() ? CheckIdentity(*found) : found.status();
}

// None of those up to this number leads to the newest state any more.
void LogWriter::ForgetSnapshotsLocked(uint64_t above) {
  ShipState& ship = core_->ship;
  ship.restorable = false;
  ship.snapshot_above = above;
  ship.snapshot_number = 0;
  ship.snapshot_bytes = 0;
  ship.log_bytes = 0;
}

// The log goes on behind every number that was ever used: a writer that was overtaken before, and a
// reader that finds part of what was, take nothing of it for the end. What is lost may be anything,
// so the snapshot to come is a first one. The takeover goes on after a crash.
Status LogWriter::BeginAnew(const MissingObjects& missing) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (!core_->life.open()) return {Code::kUnavailable, "capture starts over", true};
  ShipState& ship = core_->ship;
  core_->AbortSnapshotLocked();
  writer_id_ = core_->options.random() | 1;
  ship.writer_id = writer_id_;
  ship.taking_over = true;
  ForgetSnapshotsLocked(ship.next_log_number);
  if (missing.log()) {
    ship.packed_through = ship.next_log_number - 1;
    ship.unpacked_bytes = 0;
    ship.unpacked_since_ms = 0;
  }
  core_->CollapseLocked(ship.shipped);
  core_->NeedRepairLocked(RepairNeed::kAll);
  core_->board.Shipped(ship.shipped.segment_number, /*restorable=*/false);
  return Status::Ok();
}

}  // namespace backstay
