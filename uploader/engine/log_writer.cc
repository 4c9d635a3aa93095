#include "uploader/engine/log_writer.h"

#include <unistd.h>

#include <algorithm>
#include <utility>

#include "uploader/engine/pack_tiers.h"
#include "uploader/format/keys.h"

namespace backstay {

Result<LogWriter::Batch> LogWriter::NextBatch() {
  std::lock_guard<std::mutex> lock(core_->mutex);
  Batch batch;
  if (!core_->life.open()) return batch;
  batch.number = core_->ship.next_log_number;
  batch.generation = core_->life.generation();
  batch.epoch = core_->ship.epoch;
  batch.owned = core_->ship.writer_id != 0;
  const auto& pending = core_->outbox->pending();
  size_t count = 0;
  uint64_t bytes = 0;
  while (count < pending.size() && (count == 0 || bytes + pending[count].size <= kMaxBatchBytes)) {
    bytes += pending[count++].size;
  }
  batch.body = EncodeLogHeader({LogKind::kSegments, batch.epoch, batch.number, count});
  batch.body.reserve(batch.body.size() + bytes);
  for (size_t i = 0; i < count; ++i) {
    Result<Outbox::Waiting> segment = core_->outbox->ReadProven(pending[i]);
    if (!segment.ok()) {
      // Cut off, damaged or unreadable from outside: ship these pages from the database instead.
      core_->Log(Level::kWarn, "the outbox cannot be read: " + segment.status().message());
      core_->CollapseLocked(core_->ship.shipped);
      return segment.status();
    }
    batch.body += segment->bytes;
    batch.heads.push_back(pending[i].head);
  }
  if (core_->options.settings.sync_wal) batch.wal = core_->capture->wal_sync_handle();
  return batch;
}

Status LogWriter::Append() {
  if (writer_id_ != 0) return TakeOver();  // one that failed halfway
  Result<Batch> batch = NextBatch();
  if (!batch.ok()) return Status::Ok();
  if (batch->heads.empty()) return NewBaseDue() ? TakeOver() : Status::Ok();
  if (!batch->owned) return TakeOver();
  // The replica must not be ahead of the disk: after a power cut it would hold transactions that
  // never were.
  if (batch->wal != nullptr) (void)fdatasync(batch->wal->get());
  const bool doubtful = !doubtful_.empty();
  const uint64_t hash = batch->heads.back().segment_hash;
  // Before it is sent: whatever happens from here on, it may be in the log.
  if (doubtful_.empty() || doubtful_.back() != hash) doubtful_.push_back(hash);
  Status put = fence_.Create(LogKey(batch->number), AsBytes(batch->body));
  if (put.code() == Code::kExists) return Settle(*batch);
  Result<bool> counts = put.ok() ? CountsInLog(doubtful) : put;
  if (!counts.ok()) return counts.status();
  if (!*counts) return TakeOver();
  acknowledged_ = true;
  if (Acknowledge(*batch, batch->heads.size(), batch->body)) return put;
  Result<LogObject> object = ParseLogObject(AsBytes(batch->body), batch->number);
  return object.ok() ? Follow(*object, batch->number, /*save=*/true) : object.status();
}

// False: the outbox collapsed while the PUT was under way; the log has segments that it has not.
bool LogWriter::Acknowledge(const Batch& batch, size_t segments, const std::string& object) {
  Core* core = core_;
  const bool small = object.size() <= PackTiers::kSmallBytes;
  std::lock_guard<std::mutex> lock(core->mutex);
  if (core->life.generation() != batch.generation) return false;
  doubtful_.clear();
  ShipState& ship = core->ship;
  int64_t now = core->options.clock->WallMs();
  ship.next_log_number = batch.number + 1;
  ship.shipped = batch.heads[segments - 1];
  ship.log_bytes += object.size();
  if (small) ship.unpacked_bytes += object.size();
  if (ship.unpacked_since_ms == 0) ship.unpacked_since_ms = now;
  core->outbox->Shipped(ship.shipped.segment_number);
  core->SettleLagLocked();
  core->last_ack_ms = now;
  core->looks.Wrote();
  core->SaveShipLocked();
  core->shipped.Add(batch.number, small ? AsBytes(object) : Bytes());
  core->board.Shipped(ship.shipped.segment_number, ship.restorable);
  // A snapshot waits for it.
  core->ship_work.notify_all();
  return true;
}

// The number is taken: by an earlier try of ours, by a newer writer, or by an older one that has
// been overtaken.
Status LogWriter::Settle(const Batch& batch) {
  Result<std::string> bytes = core_->options.client->Get(LogKey(batch.number));
  if (!bytes.ok()) return bytes.status();
  Result<LogObject> object = ParseLogObject(AsBytes(*bytes), batch.number);
  if (!object.ok()) return object.status().Wrap(LogKey(batch.number));
  size_t same = 0;
  while (object->header.epoch == batch.epoch && same < object->segments.size() &&
         same < batch.heads.size() &&
         object->segments[same].hash() == batch.heads[same].segment_hash) {
    ++same;
  }
  const bool whole = same > 0 && same == object->segments.size();
  // Else: a PUT of ours that seemed to fail, of segments that a collapse has replaced since.
  if (!whole && !IsDoubtful(*object)) return StepOver(*object, batch.number);
  // It may have arrived when the log was another writer's already.
  Result<bool> counts = CountsInLog(/*doubtful=*/true);
  if (!counts.ok()) return counts.status();
  if (!*counts) return TakeOver();
  BACKSTAY_TRY(fence_.Hold());
  const bool maybe_copied = MayBeCopied();
  if (maybe_copied && writer_id_ == 0) BACKSTAY_TRY(AnnounceTakeover());
  if (!whole || !Acknowledge(batch, same, *bytes)) {
    BACKSTAY_TRY(Follow(*object, batch.number, /*save=*/true));
  }
  if (!maybe_copied) return Status::Ok();
  BACKSTAY_TRY(TakeOver());
  acknowledged_ = true;  // behind a takeover of this process
  return Status::Ok();
}

// What an earlier life left to be shipped, a copy of its state folder has too, and may have put:
// the log is taken over behind it, so that one of the two goes on. A snapshot that is under way
// would have to begin anew, and lives that are shorter than it would never have one.
bool LogWriter::MayBeCopied() const {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return !acknowledged_ && !core_->copy.under_way();
}

bool LogWriter::IsDoubtful(const LogObject& object) const {
  return !object.segments.empty() && std::find(doubtful_.begin(), doubtful_.end(),
                                               object.segments.back().hash()) != doubtful_.end();
}

}  // namespace backstay
