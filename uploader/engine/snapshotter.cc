// Jobs, the snapshot: a fuzzy copy that blocks nobody. Pages are copied in small batches under the
// Core's mutex, from the WAL where it has them, else from the database file; transactions that go
// on meanwhile are replayed on top.

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <numeric>
#include <tuple>
#include <utility>

#include "uploader/base/caught.h"
#include "uploader/engine/fence.h"
#include "uploader/engine/jobs.h"
#include "uploader/engine/snapshot_frames.h"
#include "uploader/format/keys.h"
#include "uploader/format/snapshot.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

constexpr uint32_t kPagesPerHold = 64;  // copied with the mutex held
constexpr int64_t kCatchUpMs = 10000;
constexpr auto kSettlePause = std::chrono::milliseconds(10);

Status Aborted() { return {Code::kCancelled, "the snapshot was given up for a repair"}; }

}  // namespace

Status Jobs::Snapshot() {
  Copy copy;
  BACKSTAY_TRY(BeginCopy(&copy));
  LogHead end;
  Status done = Caught([&]() -> Status {
    BACKSTAY_TRY(CopyFrames(&copy));
    BACKSTAY_TRY(FinishCopy(&copy, &end));
    return WriteManifest(copy, end);
  });
  sends_frame_ = false;
  if (done.ok()) return done;
  std::lock_guard<std::mutex> lock(core_->mutex);
  const bool left = core_->copy.Counts(copy.run) && !core_->life.ended();
  if (left && (core_->life.stops() || core_->LeavesCopyLocked())) return done;
  if (core_->copy.Counts(copy.run)) core_->VoidSnapshotLocked();
  // What a first copy has put into the index is worth nothing without its manifest.
  if (!core_->ship.restorable) core_->NeedRepairLocked(RepairNeed::kAll);
  return done;
}

Status Jobs::BeginCopy(Copy* copy) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (!core_->life.open() || !core_->CopyMayBeginLocked()) return Aborted();
  std::string found;
  if (core_->copy.waits()) {
    std::tie(copy->run, copy->begun) = core_->copy.Take();
    found = ", " + std::to_string(copy->begun.frames.size()) + " objects are there";
  } else {
    copy->begun = NewCopyLocked();
    const bool first = copy->begun.first;
    core_->capture->encoder()->set_head(copy->begun.start);
    core_->capture->encoder()->BeginSnapshot(first);
    // What is encoded from here on, and the next process reads back, goes on from this index.
    if (first) core_->SaveIndexLocked();
    copy->run = core_->copy.Begin(copy->begun);
  }
  if (!problem_->failing()) {
    const std::string pages = std::to_string(copy->begun.pages) + " pages";
    core_->Log(Level::kInfo,
               found.empty() ? "snapshot begins: " + pages : "snapshot goes on: " + pages + found);
  }
  return Status::Ok();
}

BegunSnapshot Jobs::NewCopyLocked() {
  BegunSnapshot begun;
  begun.database_id = core_->identity.id;
  begun.page_size = core_->identity.page_size;
  begun.first = !core_->ship.restorable;
  begun.writer_id = core_->ship.writer_id;
  begun.epoch = core_->ship.epoch;
  begun.base = core_->ship.base;
  begun.number = core_->ship.next_log_number;
  begun.nonce = core_->options.random();
  begun.start = core_->capture->encoder()->head();
  // Its pages may hold what was committed before and never encoded.
  const int64_t now = core_->options.clock->WallMs();
  if (begun.first) begun.start.time_ms = std::max(begun.start.time_ms, now);
  begun.pages = core_->index->pages();
  begun.log_bytes = core_->ship.log_bytes;
  return begun;
}

Status Jobs::CopyFrames(Copy* copy) {
  const uint32_t frame_pages = SnapshotFramePages(copy->begun.page_size);
  for (auto frame = static_cast<uint32_t>(copy->begun.frames.size());
       frame * frame_pages < copy->begun.pages; ++frame) {
    {
      std::lock_guard<std::mutex> lock(core_->mutex);
      if (core_->LeavesCopyLocked()) return Aborted();
    }
    BACKSTAY_TRY(CopyFrame(copy, frame));
    BACKSTAY_TRY(KeepFrames(copy));
  }
  return Status::Ok();
}

Status Jobs::CopyFrame(Copy* copy, uint32_t frame) {
  const uint32_t page_size = copy->begun.page_size;
  uint32_t frame_pages = SnapshotFramePages(page_size);
  uint32_t first = frame * frame_pages + 1;
  uint32_t count = std::min(frame_pages, copy->begun.pages - frame * frame_pages);
  std::string images(static_cast<size_t>(count) * page_size, '\0');
  for (uint32_t done = 0; done < count; done += kPagesPerHold) {
    std::lock_guard<std::mutex> lock(core_->mutex);
    if (!core_->copy.Counts(copy->run) || core_->life.stops()) return Aborted();
    const uint32_t pages = std::min(kPagesPerHold, count - done);
    auto* out = reinterpret_cast<uint8_t*>(images.data()) + static_cast<size_t>(done) * page_size;
    BACKSTAY_TRY(core_->capture->CopyPages(first + done, pages,
                                           {out, static_cast<size_t>(pages) * page_size}));
  }
  const uint64_t begun = core_->handover.begun();
  BegunSnapshot::Frame kept;
  Result<std::string> object = EncodeSnapshotFrame(page_size, first, AsBytes(images), &kept.hashes);
  if (!object.ok()) return object.status();
  images = {};
  const std::string key = SnapshotFrameKey(copy->begun.number, copy->begun.nonce, frame);
  kept.bytes = object->size();
  for (uint64_t hash : kept.hashes) kept.checksum += hash;
  sends_frame_ = true;
  BACKSTAY_TRY(Persist([&] { return core_->options.client->Put(key, AsBytes(*object)); }));
  copy->begun.frames.push_back({kept.bytes, {}, kept.checksum});
  if (!copy->begun.first) kept.hashes = {};
  copy->unsettled.emplace_back(begun, std::move(kept));
  return Status::Ok();
}

// The next process knows of frames that were not read in the middle of a transaction: that one may
// be rolled back. It sends the others anew; behind the end nobody needs to know of any.
Status Jobs::KeepFrames(Copy* copy) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (!core_->copy.Counts(copy->run)) return Aborted();
  core_->copy.Arrived();
  core_->ship_work.notify_all();
  while (!copy->unsettled.empty()) {
    const auto settled = core_->handover.SettledSince(copy->unsettled.front().first);
    if (settled != Handover::Settled::kYes) break;
    core_->copy.Keep(copy->unsettled.front().second);
    copy->unsettled.pop_front();
  }
  sends_frame_ = false;
  return Status::Ok();
}

// Waits until the transactions in the middle of which pages were copied have handed theirs over.
Status Jobs::SettleCopy(const Copy& copy) {
  const uint64_t begun = core_->handover.begun();
  for (;;) {
    switch (core_->handover.SettledSince(begun)) {
      case Handover::Settled::kYes: return Status::Ok();
      case Handover::Settled::kForeign: core_->board.Poke(); return Aborted();
      case Handover::Settled::kNotYet: break;
    }
    std::unique_lock<std::mutex> lock(core_->mutex);
    if (core_->life.stops() || !core_->copy.Counts(copy.run)) return Aborted();
    core_->ship_work.wait_for(lock, kSettlePause);
  }
}

// Takes the lock when everything committed so far is encoded. With the database closed nobody tells
// what other programs do: then the file must be what it was.
Status Jobs::CatchUp(const Copy& copy, std::unique_lock<std::mutex>* lock) {
  constexpr int kTries = 25;  // a tick of the coarsest clock in use, and more
  for (int i = 0; i < kTries; ++i) {
    if (!core_->board.Finish(kCatchUpMs)) {
      return {Code::kUnavailable, "capture does not catch up", true};
    }
    lock->lock();
    if (core_->life.stops() || !core_->copy.Counts(copy.run)) return Aborted();
    const FileStamp& known = core_->capture->place().file();
    const std::string& path = core_->options.settings.path;
    if (!core_->guessed) return Status::Ok();
    if (known.settled && known == StampOf(path) && access((path + "-wal").c_str(), F_OK) != 0) {
      return Status::Ok();
    }
    core_->ship_work.wait_for(*lock, kSettlePause,
                              [&] { return core_->life.stops() || !core_->copy.Counts(copy.run); });
    lock->unlock();
  }
  blind_ = true;
  Pause();
  return {Code::kUnavailable,
          "this process has closed the database and another one may be writing to it, so that no "
          "moment can be found in which the copy is whole; remedy: keep a connection open, here or "
          "in a process with Backstay"};
}

// Catches up with everything committed so far: from there on copy and replay give a committed
// state, once nothing is unknown.
Status Jobs::FindEnd(const Copy& copy, std::unique_lock<std::mutex>* lock) {
  const auto over = [&] { return core_->life.over() || !core_->copy.Counts(copy.run); };
  for (;;) {
    BACKSTAY_TRY(CatchUp(copy, lock));
    if (core_->EndCopyLocked()) return Status::Ok();
    if (over()) return Aborted();
    core_->copy.SeekEnd();
    // Behind a first copy they are repaired for the first time.
    if (core_->index->unknown() != 0) core_->NeedRepairLocked(RepairNeed::kUnknown);
    core_->ship_work.wait(*lock,
                          [&] { return over() || !core_->copy.seeks_end() || core_->guessed; });
    if (over()) return Aborted();
    if (!core_->copy.seeks_end()) return Status::Ok();
    lock->unlock();
  }
}

Status Jobs::FinishCopy(Copy* copy, LogHead* end) {
  BACKSTAY_TRY(SettleCopy(*copy));
  std::unique_lock<std::mutex> lock(core_->mutex, std::defer_lock);
  BACKSTAY_TRY(FindEnd(*copy, &lock));
  *end = core_->copy.end();
  // A manifest names what the log must reach first.
  core_->ship_work.wait(lock, [&] {
    return core_->life.over() || !core_->copy.Counts(copy->run) ||
           core_->ship.shipped.segment_number >= end->segment_number;
  });
  if (!core_->copy.Counts(copy->run)) return Aborted();
  if (core_->life.over()) return {Code::kCancelled, "replication is ending"};
  // Like the log: what was copied may lie in the WAL alone, and a power cut take it from there.
  std::shared_ptr<Fd> wal;
  const bool flush = core_->options.settings.sync_wal && core_->life.open();
  if (flush) wal = core_->capture->wal_sync_handle();
  lock.unlock();
  if (wal != nullptr) (void)fdatasync(wal->get());
  return Status::Ok();
}

// A manifest would make states of two databases one.
Status Jobs::StillOwn() {
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    if (core_->ship.restorable) return Status::Ok();
  }
  Result<uint64_t> newer = Fence::NewerWriter(core_);
  if (!newer.ok()) return newer.status();
  if (*newer == 0) return Status::Ok();
  Status fenced(Code::kFenced, "a newer writer owns " + core_->options.replica +
                                   " since log object " + std::to_string(*newer) +
                                   "; it has taken it over before this database's first snapshot "
                                   "was complete");
  core_->Stop(fenced);
  return {Code::kCancelled, fenced.message()};
}

// A bucket that is being emptied loses what is written to it meanwhile, too.
Status Jobs::StillThere(const SnapshotManifest& manifest) {
  Result<std::string> missing = MissingFrame(core_->options.client, manifest);
  if (!missing.ok()) return missing.status();
  if (missing->empty()) return Status::Ok();
  return {Code::kCorrupt, *missing + " is gone from the bucket: somebody deletes what is written"};
}

SnapshotManifest Jobs::ManifestOf(const BegunSnapshot& begun, const LogHead& end) const {
  SnapshotManifest manifest;
  manifest.page_size = begun.page_size;
  manifest.nonce = begun.nonce;
  manifest.epoch = begun.epoch;
  manifest.base = begun.base;
  manifest.next_log_number = begun.number;
  manifest.segment_number = begun.start.segment_number;
  manifest.segment_hash = begun.start.segment_hash;
  manifest.start_txid = begun.start.txid;
  manifest.consistent_txid = end.txid;
  manifest.consistent_time_ms = end.time_ms != 0 ? end.time_ms : core_->options.clock->WallMs();
  manifest.pages = begun.pages;
  for (const BegunSnapshot::Frame& frame : begun.frames) {
    manifest.frames_checksum += frame.checksum;
    manifest.frame_bytes.push_back(frame.bytes);
  }
  return manifest;
}

Status Jobs::WriteManifest(const Copy& copy, const LogHead& end) {
  const BegunSnapshot& begun = copy.begun;
  SnapshotManifest manifest = ManifestOf(begun, end);
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    manifest.database_id = core_->identity.id;
  }
  const uint64_t bytes =
      std::accumulate(manifest.frame_bytes.begin(), manifest.frame_bytes.end(), uint64_t{0});
  Result<std::string> encoded = EncodeSnapshotManifest(manifest);
  if (!encoded.ok()) return encoded.status();
  BACKSTAY_TRY(Persist([&] { return StillOwn(); }));
  BACKSTAY_TRY(Persist([&] { return StillThere(manifest); }));
  BACKSTAY_TRY(Persist([&] {
    return core_->options.client->Put(SnapshotManifestKey(begun.number), AsBytes(*encoded));
  }));
  // Never before it: without it, what is there could be taken for one that was never finished.
  BACKSTAY_TRY(Persist([&] { return core_->options.client->Put(kRestorableKey, AsBytes("1\n")); }));
  std::lock_guard<std::mutex> lock(core_->mutex);
  ShipState& ship = core_->ship;
  // What the log behind it needs was lost meanwhile, or the database got another page size.
  if (begun.number <= ship.snapshot_above || ship.new_base || begun.base != ship.base) {
    return Aborted();
  }
  ship.restorable = true;
  core_->proven_ms = core_->options.clock->WallMs();
  core_->snapshot_ms = manifest.consistent_time_ms;
  core_->looks.Wrote();
  ship.snapshot_number = begun.number;
  ship.snapshot_bytes = bytes;
  ship.log_bytes -= std::min(ship.log_bytes, begun.log_bytes);
  // A first snapshot that a gap overtook is good, but the index began anew meanwhile.
  // Whoever waits for later commits waits for the repair.
  if (!core_->copy.Counts(copy.run)) {
    core_->NeedRepairLocked(RepairNeed::kAll);
    core_->board.Dropped();
  }
  core_->copy.Done(copy.run);
  core_->SaveIndexLocked();
  core_->SettleLagLocked();
  core_->board.Shipped(ship.shipped.segment_number, true);
  core_->Log(Level::kInfo, "snapshot complete: " + std::to_string(begun.frames.size()) +
                               " objects, " + std::to_string(bytes) + " bytes");
  core_->missing.Recovered(
      "the replica is whole again: everything from here on can be restored",
      {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
  ReplicaGrew(manifest.consistent_time_ms);
  return Status::Ok();
}

}  // namespace backstay
