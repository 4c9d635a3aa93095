// LogWriter, the part that goes on behind log objects that this state does not know: those of an
// overtaken writer, and our own that were shipped before a crash took the state with it.

#include <algorithm>
#include <utility>

#include "uploader/engine/log_writer.h"
#include "uploader/format/checks.h"
#include "uploader/format/keys.h"
#include "uploader/replica/log_plan.h"

namespace backstay {
namespace {

// Retention may have deleted object `number` of a log that is packed beyond it: a snapshot stands
// for it. What lies there before the oldest snapshot may have been put by a stale writer.
bool IsExpired(const Catalogue& catalogue, uint64_t number) {
  const auto covers = [&](const PackName& pack) {
    return pack.first <= number && number <= pack.last;
  };
  if (catalogue.snapshots.empty() || catalogue.snapshots.back().next_log_number <= number) {
    return false;
  }
  const bool kept =
      catalogue.singles.contains(number) && catalogue.snapshots.front().next_log_number <= number;
  return !kept && std::none_of(catalogue.packs.begin(), catalogue.packs.end(), covers);
}

}  // namespace

// Also learns how far the log is packed: a restored state does not know.
Result<bool> LogWriter::NextIsPacked() {
  uint64_t next = 0;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    next = core_->ship.next_log_number;
  }
  Result<uint64_t> last = look_.PackedThrough(next);
  if (!last.ok()) return last.status();
  std::lock_guard<std::mutex> lock(core_->mutex);
  ShipState& ship = core_->ship;
  if (*last > ship.packed_through && *last < next) ship.packed_through = *last;
  return *last >= next;
}

// Asked until an object of this process counts: behind one, nobody else packs. And of a number
// whose first PUT may have arrived: another writer may have gone on behind that, and packed it.
Result<bool> LogWriter::CountsInLog(bool doubtful) {
  if (acknowledged_ && !doubtful) return true;
  Result<bool> packed = NextIsPacked();
  if (!packed.ok()) return packed;
  if (*packed) BACKSTAY_TRY(FollowPacks());
  return !*packed;
}

// An object that is not ours lies where the next one should go.
Status LogWriter::StepOver(const LogObject& object, uint64_t number) {
  // Then it is as void as ours would be.
  Result<bool> packed = NextIsPacked();
  if (!packed.ok()) return packed.status();
  if (*packed) {
    BACKSTAY_TRY(FollowPacks());
    return TakeOver();
  }
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    if (object.header.epoch < core_->ship.void_below) {
      // Left by a writer that lost the log before we took it over: void.
      core_->ship.next_log_number = number + 1;
      return Status::Ok();
    }
    if (object.header.epoch == core_->ship.epoch && acknowledged_) {
      return {Code::kFenced, "another process writes to " + core_->options.replica +
                                 " with a copy of this database's state folder"};
    }
  }
  BACKSTAY_TRY(FollowOne(object, number));
  return TakeOver();
}

// A state that was put back, and its database with it, has nothing to append that would meet what
// the log holds behind its end: the database would be said to be shipped, and another state be
// restored.
Status LogWriter::FollowUnmet() {
  uint64_t next = 0;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    const ShipState& ship = core_->ship;
    const bool meets = !core_->life.open() || ship.new_base || !core_->outbox->pending().empty();
    if (meets || ship.writer_id == 0 || ship.taking_over) return Status::Ok();
    next = ship.next_log_number;
  }
  Result<bool> goes_on = look_.GoesOn(next - 1);
  if (!goes_on.ok()) return goes_on.status();
  // An earlier try may have gone part of the way.
  if (!*goes_on && foreign_first_ == 0) return Status::Ok();
  BACKSTAY_TRY(FollowLog());
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    if (core_->ship.next_log_number == next && foreign_first_ == 0) return Status::Ok();
  }
  return TakeOver();
}

Status LogWriter::FollowLog() {
  // What lies at a packed number is void.
  Result<bool> packed = NextIsPacked();
  if (!packed.ok()) return packed.status();
  if (*packed) return FollowPacks();
  BACKSTAY_TRY(FollowSingles());
  // The log may have been packed meanwhile.
  packed = NextIsPacked();
  if (!packed.ok()) return packed.status();
  return *packed ? FollowPacks() : Status::Ok();
}

Status LogWriter::FollowSingles() {
  for (;;) {
    uint64_t number = 0;
    {
      std::lock_guard<std::mutex> lock(core_->mutex);
      number = core_->ship.next_log_number;
    }
    Result<std::string> bytes = core_->options.client->Get(LogKey(number));
    if (bytes.status().code() == Code::kNotFound) return Status::Ok();
    if (!bytes.ok()) return bytes.status();
    Result<LogObject> object = ParseLogObject(AsBytes(*bytes), number);
    if (!object.ok()) return object.status().Wrap(LogKey(number));
    if (IsOwn(object->takeover)) return Status::Ok();
    BACKSTAY_TRY(FollowOne(*object, number));
  }
}

// Our place in the log is so old that what followed has been packed. Packs may become larger ones
// while they are read.
Status LogWriter::FollowPacks() {
  RetryOptions once;
  once.attempts = 1;
  const ReplicaReader reader(core_->options.client, once);
  for (int looks = 1;; ++looks) {
    Result<Catalogue> catalogue = LoadCatalogue(reader, LogPlanOptions().parallelism);
    if (!catalogue.ok()) return catalogue.status();
    Status followed = FollowPacksOf(reader, *catalogue);
    if (looks == kMaxLooks || !ListingIsStale(followed)) return followed;
  }
}

Status LogWriter::FollowPacksOf(const ReplicaReader& reader, const Catalogue& catalogue) {
  LogStart start;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    const ShipState& ship = core_->ship;
    start = {ship.next_log_number, ship.void_below, ship.shipped.segment_number,
             ship.shipped.segment_hash};
  }
  if (IsExpired(catalogue, start.number)) return Adopt(catalogue.identity);
  Result<LogPlan> plan = PlanLog(reader, catalogue, start, {});
  if (!plan.ok()) return plan.status();
  for (const LogEntry& entry : plan->entries) {
    Result<std::shared_ptr<const std::string>> body = FetchEntry(reader, entry);
    if (!body.ok()) return body.status();
    Result<LogObject> object = ParseLogObject(AsBytes(**body), entry.header.number);
    if (!object.ok()) return object.status();
    BACKSTAY_TRY(FollowOne(*object, entry.header.number));
  }
  std::lock_guard<std::mutex> lock(core_->mutex);
  core_->ship.next_log_number = std::max(core_->ship.next_log_number, plan->next_number);
  if (!plan->damage) return Status::Ok();
  return {Code::kCorrupt, core_->options.replica + ": " + plan->damage->what};
}

// The log holds segments of our own epoch that this state does not know: written before a crash
// that took the state with it, or by the writer this database was restored from. Their pages become
// unknown and are repaired.
Status LogWriter::FollowOne(const LogObject& object, uint64_t number) {
  Identity own;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    ShipState& ship = core_->ship;
    if (number < ship.next_log_number) return Status::Ok();
    if (object.header.epoch < ship.void_below) {
      ship.next_log_number = number + 1;
      return Status::Ok();
    }
    own = object.header.epoch > ship.epoch ? core_->identity : own;
  }
  if (own.page_size != 0) {
    // The newer writer may be a later life of this database, whose state folder is an old one.
    if (MarkedEpoch(own.id) >= object.header.epoch) return Adopt(own);
    return {Code::kFenced, "a newer writer owns " + core_->options.replica + " since log object " +
                               std::to_string(number) + "; " + core_->FencedRemedy()};
  }
  const bool ours = IsDoubtful(object);
  BACKSTAY_TRY(Follow(object, number, /*save=*/false));
  if (ours || object.segments.empty()) return Status::Ok();
  if (foreign_first_ == 0) foreign_first_ = object.segments.front().header().first_txid;
  foreign_last_ = object.segments.back().last_txid();
  return Status::Ok();
}

void LogWriter::SayForeign() {
  const uint64_t first = std::exchange(foreign_first_, 0);
  // Lower: there was only the beginning of one.
  if (first == 0 || foreign_last_ < first) return;
  core_->Log(Level::kWarn, "the replica holds transactions " + std::to_string(first) + " to " +
                               std::to_string(foreign_last_) +
                               " that the state folder does not know: it, or the database with "
                               "it, was put back to what it was before, or another writer has "
                               "shipped them; what differs is shipped from this database, and "
                               "they stay restorable with -txid");
}

// The pages of a step become unknown. A size that its entries do not explain is believed by one
// page more: enough for the repair to see that the replica is longer, and the repair states the
// size.
void LogWriter::FollowStep(const SegmentStep& step, PageIndex* index) {
  const uint64_t explained = uint64_t{index->pages()} + step.entries.size() + 1;
  const auto most = static_cast<uint32_t>(std::min<uint64_t>(explained, kMaxPageNumber));
  for (const SegmentEntry& entry : step.entries) {
    if (entry.pgno <= most) index->Set(entry.pgno, 0);
  }
  index->Resize(std::min(step.pages, most));
}

// Readers refuse a size that no object justifies: what is behind it needs a snapshot that begins
// there.
bool LogWriter::IsReadable(const LogObject& object, uint32_t pages) {
  uint64_t most = uint64_t{pages} + kMaxUnwrittenPages;
  for (const Segment& segment : object.segments) {
    for (const SegmentStep& step : segment.steps()) {
      most += step.entries.size();
      if (step.pages > most) return false;
    }
  }
  return true;
}

// Goes on behind an object of the log whose segments the outbox does not hold: a repair makes the
// difference good.
Status LogWriter::Follow(const LogObject& object, uint64_t number, bool save) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (!core_->life.open()) return {Code::kUnavailable, "capture starts over", true};
  LogHead head = core_->ship.shipped;
  const bool readable = IsReadable(object, core_->index->pages());
  for (const Segment& segment : object.segments) {
    // A restore may have stopped inside an object: before the beginning of a transaction whose end
    // was never shipped.
    if (segment.header().number < head.segment_number || segment.hash() == head.segment_hash) {
      continue;
    }
    if (segment.header().number != head.segment_number + 1 ||
        segment.header().previous_hash != head.segment_hash) {
      return {Code::kCorrupt,
              LogKey(number) + " does not continue the log as this database knows it"};
    }
    for (const SegmentStep& step : segment.steps()) FollowStep(step, core_->index.get());
    head = {segment.header().number, segment.hash(), segment.last_txid(),
            segment.steps().back().time_ms, segment.more()};
  }
  core_->ship.shipped = head;
  core_->ship.next_log_number = number + 1;
  if (IsTakeover(object.header.kind)) core_->ship.void_below = object.header.epoch;
  if (object.takeover.page_size != 0) core_->LeaveBaseLocked();
  core_->AbortSnapshotLocked();
  if (!readable && core_->ship.restorable) {
    core_->missing.Failed(
        LogKey(number) +
            " speaks of more pages than the replica's objects can hold: nothing "
            "behind it can be restored before a new first snapshot is complete",
        {{"db", core_->options.settings.path}, {"replica", core_->options.replica}});
    ForgetSnapshotsLocked(number);
    core_->NeedRepairLocked(RepairNeed::kAll);
  }
  core_->CollapseLocked(head, save);
  core_->board.Shipped(head.segment_number, core_->ship.restorable);
  doubtful_.clear();
  return Status::Ok();
}

}  // namespace backstay
