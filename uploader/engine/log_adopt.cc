// LogWriter, the part that goes on without a usable state folder: proves that the replica is this
// database's own, and takes from it what the folder would have said.
//
// A replica is this database's own when the file carries its mark with the newest epoch of the log,
// or is of its family (log_sibling.cc). Equal pages alone prove nothing: a copy has them too, and a
// new database of the same application has the same schema and the same first rows.

#include <algorithm>
#include <chrono>
#include <span>
#include <utility>
#include <vector>

#include "uploader/base/hash.h"
#include "uploader/base/own_folder.h"
#include "uploader/engine/log_writer.h"
#include "uploader/replica/absence.h"
#include "uploader/replica/log_rest.h"
#include "uploader/replica/restore.h"
#include "uploader/state/database_mark.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

constexpr auto kStill = std::chrono::seconds(3);
constexpr char kScratch[] = "adopt.tmp";

// What it holds goes with the descriptor.
Result<Fd> NamelessFile(const std::string& folder_path) {
  Result<OwnFolder> folder = OwnFolder::Open(folder_path);
  if (!folder.ok()) return folder.status();
  folder->Remove(kScratch);
  Result<Fd> file = folder->MakeFile(kScratch);
  folder->Remove(kScratch);
  return file;
}

RetryOptions Once() {
  RetryOptions once;
  once.attempts = 1;
  return once;
}

LogHead HeadAt(const LogEnd& end) {
  return {end.segment_number, end.segment_hash, end.txid, end.time_ms, end.open};
}

}  // namespace

// Why the state had to be read back.
LogWriter::Said LogWriter::OwnAgain(const DatabaseId& id, bool by_pages) {
  constexpr const char* kOwn = "the replica is this database's own, and the difference is shipped";
  LeftState left;
  bool usable = false;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    left = core_->left;
    usable = core_->identity.id == id && core_->ship.epoch > 0;
  }
  if (IsAdopted(core_->options.folder, id)) {
    return {Level::kInfo,
            "the replica follows this database from now on, as `backstay adopt` "
            "said, and the difference is shipped"};
  }
  if (by_pages && left.id != id) {
    return {Level::kInfo, std::string("database and replica hold the same pages: ") + kOwn};
  }
  if (left.others) return {Level::kInfo, std::string("the database was moved here: ") + kOwn};
  if (!left.any) {
    return {Level::kInfo, std::string("the database came without its state folder: ") + kOwn};
  }
  if (!usable) return {Level::kWarn, std::string("the state folder cannot be used: ") + kOwn};
  return {Level::kWarn, std::string("the replica's log leads no further from where the state "
                                    "folder ends, which is an old one, or objects are missing: ") +
                            kOwn};
}

Status LogWriter::Adopt(const Identity& found) {
  ReplicaReader reader(core_->options.client, Once());
  // Its own state folder, however old, tells as much as the mark.
  const uint64_t marked = std::max(MarkedEpoch(found.id), StateEpoch(found.id));
  const bool sibling = marked == 0 && IsSibling(found);
  Result<RestorePlan> plan = PlanFromReplica(reader, {}, {});
  if (plan.status().code() == Code::kNotFound) {
    if (sibling) return AdoptBeginning(found, OfSibling());
    return marked > 0 ? AdoptBeginning(found, OwnAgain(found.id, false)) : TakeUnfinished(found);
  }
  if (!plan.ok()) return AdoptBehindDamage(found, plan.status());
  if (marked > 0 && marked < plan->epoch) return Overtaken();
  if (sibling) BACKSTAY_TRY(CheckLives(reader, *plan));
  const bool proven = marked > 0 || sibling;
  const uint32_t page_size = PageSize();
  const bool other_size = plan->snapshot.page_size != page_size;
  if (!proven && !MayBeOurs(found)) return Foreign(found.id);
  if (!proven && (other_size || !HasPages(PagesOf(reader, *plan)))) return NotOurs(found.id);
  Result<Fd> file = NamelessFile(core_->options.folder);
  if (!file.ok()) return file.status().Wrap("the replica cannot be read back");
  FilePageStore store(*file, core_->options.folder + "/" + kScratch);
  Result<RestoreOutcome> outcome = RestoreInto(reader, {}, &store);
  if (!outcome.ok()) {
    return AdoptBehindDamage(found, outcome.status().Wrap("the replica cannot be read back"));
  }
  const ReplayResult& end = outcome->result;
  if (!proven && !HoldsPages(end.page_hashes)) return NotOurs(found.id);
  Result<Said> said = sibling ? SayOfSibling(reader, *outcome) : OwnAgain(found.id, !proven);
  if (!said.ok()) return said.status();
  ShipState ship;
  ship.epoch = outcome->plan.epoch;
  ship.void_below = outcome->plan.void_below;
  ship.next_log_number = outcome->plan.next_log_number;
  ship.base = outcome->plan.snapshot.base;
  ship.shipped = {end.segment_number, end.segment_hash, outcome->plan.txid, outcome->plan.time_ms,
                  false};
  if (outcome->plan.left) ship.shipped = HeadAt(*outcome->plan.left);
  ship.new_base = other_size || outcome->plan.left;
  ship.restorable = !ship.new_base;
  return AdoptState(found, {ship, page_size, end.page_hashes}, *said);
}

// Whoever adopted it wants it gone on with, whatever it holds: behind everything, with a new base,
// across which nothing is replayed. What is damaged stays where it is, and what lies before it can
// be restored as ever.
Status LogWriter::AdoptBehindDamage(const Identity& found, const Status& failed) {
  if (failed.code() != Code::kCorrupt || !IsAdopted(core_->options.folder, found.id)) return failed;
  ReplicaReader reader(core_->options.client, Once());
  Result<Catalogue> catalogue = LoadCatalogue(reader, 1);
  if (!catalogue.ok()) return catalogue.status();
  Result<LogRest> rest = RestOfLog(reader, *catalogue);
  if (!rest.ok()) return rest.status();
  if (MarkedEpoch(found.id) < rest->epoch) return Overtaken();
  ShipState ship;
  // What cannot be read may have had the next one.
  ship.epoch = rest->epoch + 1;
  ship.void_below = ship.epoch;
  ship.next_log_number = rest->next_number;
  ship.packed_through = rest->next_number - 1;
  ship.shipped = {rest->segment_number, rest->segment_hash, rest->txid, rest->time_ms, false};
  ship.new_base = true;
  return AdoptState(found, {ship, PageSize(), {}},
                    {Level::kWarn, failed.message() + "; as `backstay adopt` said, the replica "
                                                      "goes on behind it from this database, with "
                                                      "a new first snapshot"});
}

// A replica from which nothing can be restored protects nothing: whoever began it was stopped in
// its first snapshot, and its disk may be lost. One that is still at work there shows by new
// objects; should it be very slow, the takeover fences it, and it says so.
Status LogWriter::TakeUnfinished(const Identity& found) {
  ReplicaReader reader(core_->options.client, Once());
  Result<Catalogue> catalogue = LoadCatalogue(reader, 1);
  if (!catalogue.ok()) return catalogue.status();
  Result<bool> unfinished = FirstSnapshotUnfinished(reader, *catalogue);
  if (!unfinished.ok()) return unfinished.status();
  if (!*unfinished) return Foreign(found.id);
  Result<std::vector<ObjectInfo>> before = reader.List({});
  if (!before.ok()) return before.status();
  {
    std::unique_lock<std::mutex> lock(core_->mutex);
    core_->ship_work.wait_for(lock, kStill, [this] { return core_->life.stops(); });
    if (core_->life.stops()) return {Code::kCancelled, "replication is ending"};
  }
  Result<std::vector<ObjectInfo>> after = reader.List({});
  if (!after.ok()) return after.status();
  const bool still = before->size() == after->size() &&
                     std::equal(before->begin(), before->end(), after->begin(),
                                [](auto& a, auto& b) { return a.key == b.key; });
  if (!still) return Foreign(found.id);
  return AdoptBeginning(found,
                        {Level::kInfo,
                         "nothing can be restored from the replica, whose first snapshot was "
                         "never finished: this database takes it over (id " +
                             FormatDatabaseId(found.id) + ")"});
}

// The first snapshot was never finished: nothing can be restored yet, and only the end of the log
// counts.
Status LogWriter::AdoptBeginning(const Identity& found, const Said& said) {
  ReplicaReader reader(core_->options.client, Once());
  LogPlanOptions options;
  Result<Catalogue> catalogue = LoadCatalogue(reader, options.parallelism);
  if (!catalogue.ok()) return catalogue.status();
  Result<LogPlan> plan = PlanLog(reader, *catalogue, {}, options);
  if (!plan.ok()) return plan.status();
  Result<LogEnd> end = EndOf(reader, {}, *plan);
  if (!end.ok()) return end.status();
  ShipState ship;
  ship.epoch = std::max<uint64_t>(plan->epoch, 1);
  ship.void_below = ship.epoch;
  ship.next_log_number = plan->next_number;
  ship.shipped = HeadAt(*end);
  // What is there may have any page size by now.
  const uint32_t page_size = PageSize();
  ship.new_base = plan->base_end || found.page_size != page_size;
  return AdoptState(found, {ship, page_size, {}}, said);
}

bool LogWriter::HasPages(uint32_t pages) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return pages != 0 && core_->life.open() && core_->index->pages() == pages;
}

// Whether the database is, page by page, what these hashes say.
bool LogWriter::HoldsPages(const std::vector<uint64_t>& hashes) {
  constexpr uint32_t kPagesPerHold = 64;
  const uint32_t page_size = core_->identity.page_size;
  const uint32_t lock_page = LockBytePage(page_size);
  const auto pages = static_cast<uint32_t>(hashes.size());
  std::vector<uint8_t> images(static_cast<size_t>(kPagesPerHold) * page_size);
  for (uint32_t first = 1; first <= pages; first += kPagesPerHold) {
    const uint32_t count = std::min(kPagesPerHold, pages - first + 1);
    if (!HasPages(pages)) return false;
    std::lock_guard<std::mutex> lock(core_->mutex);
    const std::span<uint8_t> out(images.data(), static_cast<size_t>(count) * page_size);
    if (!core_->life.open() || !core_->capture->CopyPages(first, count, out).ok()) return false;
    for (uint32_t i = 0; i < count; ++i) {
      Bytes image(images.data() + static_cast<size_t>(i) * page_size, page_size);
      if (first + i != lock_page && PageHash(first + i, image) != hashes[first + i - 1]) {
        return false;
      }
    }
  }
  return HasPages(pages);
}

Status LogWriter::AdoptState(const Identity& found, const Adopted& state, const Said& said) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  if (!core_->life.open()) return {Code::kUnavailable, "capture starts over", true};
  const uint32_t page_size = core_->identity.page_size;
  // Whether a new base is due was decided for another one, while the replica was read.
  if (page_size != state.page_size) {
    return {Code::kUnavailable, "the page size of the database has changed meanwhile", true};
  }
  core_->Log(said.level, said.message);
  core_->AbortSnapshotLocked();
  core_->identity = found;
  core_->identity.page_size = page_size;
  core_->outbox->SetOwner(found.id);
  const ShipState& ship = core_->ship = state.ship;
  // Where nothing leads on from it the index begins with the first snapshot.
  if (ship.restorable) *core_->index = PageIndex(LockBytePage(page_size), state.hashes);
  core_->CollapseLocked(LogHead(ship.shipped));
  core_->NeedRepairLocked(RepairNeed::kAll);
  core_->board.Shipped(ship.shipped.segment_number, ship.restorable);
  ForgetAdopted(core_->options.folder);
  return Status::Ok();
}

}  // namespace backstay
