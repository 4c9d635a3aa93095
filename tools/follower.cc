#include "tools/follower.h"

#include <fcntl.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "tools/follow_pace.h"
#include "uploader/base/clock.h"
#include "uploader/base/hash.h"
#include "uploader/format/keys.h"
#include "uploader/format/segment.h"
#include "uploader/replica/log_fetch.h"
#include "uploader/replica/parallel.h"

namespace backstay {
namespace {

constexpr uint64_t kCommitBytes = 4 << 20;  // of the log
constexpr uint64_t kMaxPages = std::numeric_limits<uint32_t>::max() - 1;
bool CannotHeal(const Status& status) {
  const Code code = status.code();
  return code == Code::kCancelled || code == Code::kForeign || code == Code::kNewer ||
         (code == Code::kExists && !status.retryable());
}

}  // namespace

Result<FollowState> Follower::Begin(const Fd& file, const RestoreOutcome& outcome,
                                    const std::string& replica) {
  CopyFile::Head head{};
  BACKSTAY_TRY(CopyFile::Prepare(file, &head));
  FollowState state;
  state.replica = replica;
  state.id = FormatDatabaseId(outcome.plan.identity.id);
  state.points = {PointOf(outcome, 1, head)};
  return state;
}

Result<std::vector<uint64_t>> Follower::HashPages(uint32_t page_size) {
  std::vector<uint64_t> hashes(copy_->size() / page_size);
  std::vector<uint8_t> page(page_size);
  const uint32_t lock_page = LockBytePage(page_size);
  for (uint32_t pgno = 1; pgno <= hashes.size(); ++pgno) {
    if (pgno == lock_page) continue;
    BACKSTAY_TRY(copy_->Read(uint64_t{pgno - 1} * page_size, page.data(), page.size()));
    hashes[pgno - 1] = PageHash(pgno, page);
  }
  return hashes;
}

// The copy is at `point`, and has pages of these hashes.
Status Follower::Adopt(const FollowPoint& point, const std::vector<uint64_t>& hashes) {
  plan_ = {};
  plan_.identity = identity_.value_or(Identity{});
  plan_.snapshot.page_size = point.page_size;
  plan_.snapshot.segment_number = point.next.segment_number;
  plan_.snapshot.segment_hash = point.next.segment_hash;
  plan_.snapshot.start_txid = plan_.snapshot.consistent_txid = point.next.txid;
  plan_.last_segment = std::numeric_limits<uint64_t>::max();
  next_ = point.next;
  image_.emplace(copy_.get(), point.page_size, kMaxPages);
  apply_.emplace(plan_, &*image_);
  return image_->NoteRun(1, hashes);
}

// Whatever the last life left: an unfinished commit, or one whose point is the second.
Status Follower::Open() {
  Result<std::unique_ptr<CopyFile>> copy = CopyFile::Open(options_.copy);
  if (!copy.ok()) return copy.status();
  Result<FollowState> state = options_.file->Load();
  if (!state.ok()) return NotTheCopy(options_.copy);
  const auto at =
      std::find_if(state->points.begin(), state->points.end(),
                   [&](const FollowPoint& point) { return point.counter == (*copy)->counter(); });
  if (at == state->points.end()) return NotTheCopy(options_.copy);
  const FollowPoint point = *at;
  state_ = std::move(*state);
  state_.points = {point};
  state_.replica = reader_.Describe();
  copy_ = std::move(*copy);
  copy_->SetHead(point.head);
  return Status::Ok();
}

Status Follower::Load() {
  const FollowPoint& point = state_.points.front();
  waiting_.reset();
  copy_->Discard();
  copy_->SetPageSize(point.page_size);
  Result<std::vector<uint64_t>> hashes = HashPages(point.page_size);
  if (!hashes.ok()) return hashes.status();
  if (std::accumulate(hashes->begin(), hashes->end(), uint64_t{0}) != point.checksum) {
    return NotTheCopy(options_.copy);
  }
  return Adopt(point, *hashes);
}

Status Follower::Commit(const FollowPoint& point) {
  waiting_ = point;
  return CommitWaiting();
}

// A state without its commit does no harm: the copy's counter says that it is not there.
Status Follower::CommitWaiting() {
  FollowPoint& point = *waiting_;
  point.counter = copy_->counter() + 1;
  point.head = copy_->head();
  state_.points.resize(1);
  state_.points.push_back(point);
  BACKSTAY_TRY(copy_->InPlace());
  BACKSTAY_TRY(options_.file->Save(state_));
  BACKSTAY_TRY(copy_->Commit());
  state_.points = {point};
  waiting_.reset();
  return Status::Ok();
}

Status Follower::Apply(const LogEntry& entry, const LogObject& object) {
  Status applied = apply_->Apply(object);
  if (!applied.ok()) {
    // Half of it, perhaps.
    apply_.reset();
    const bool damaged = applied.code() == Code::kCorrupt;
    return damaged ? applied.Wrap(entry.sources.front().key) : applied;
  }
  next_.number = entry.header.number + 1;
  next_.epoch = std::max(next_.epoch, entry.header.epoch);
  next_.segment_number = apply_->segment_number();
  next_.segment_hash = apply_->segment_hash();
  if (!entry.segments.empty()) next_.txid = entry.segments.back().last_txid();
  return Status::Ok();
}

// Readers see whole transactions, many at once where many have come.
Result<bool> Follower::ApplyLog(const LogPlan& plan) {
  const ReplayOptions defaults;
  const LogFetch fetch(reader_, plan.entries, defaults.batch_bytes);
  const ParallelLimits limits{options_.parallelism, 2 * options_.parallelism, defaults.room,
                              [&](size_t batch) { return fetch.Cost(batch); }};
  uint64_t bytes = 0;  // that wait for a commit
  bool whole = true;
  const auto commit = [&] {
    bytes = 0;
    return Commit({0, plan_.snapshot.page_size, {}, next_, image_->Checksum()});
  };
  const auto apply = [&](const LogEntry& entry, const LogObject& object) -> Status {
    BACKSTAY_TRY(Apply(entry, object));
    if (entry.segments.empty()) return Status::Ok();
    bytes += entry.bytes();
    whole = !entry.segments.back().more();
    return whole && bytes >= kCommitBytes ? commit() : Status::Ok();
  };
  const Status done = ParallelOrdered<LogFetch::Body>::Run(
      fetch.batches(), limits, [&](size_t batch) { return fetch.Fetch(batch); },
      [&](size_t batch, const LogFetch::Body& body) { return fetch.Use(batch, *body, apply); });
  if (apply_ && whole && bytes > 0) BACKSTAY_TRY(commit());
  if (!done.ok()) return done;
  next_.number = std::max(next_.number, plan.next_number);
  return !plan.entries.empty();
}

Status Follower::CheckIdentity(const Identity& identity) const {
  if (state_.id == FormatDatabaseId(identity.id)) return Status::Ok();
  return {Code::kForeign, reader_.Describe() + " is the replica of another database than " +
                              options_.copy + ": name the one that was followed, or replace the " +
                              "copy by one of this with -force"};
}

// A folder may be unmounted or moved away: then nothing is in it, and what is there instead is not
// the replica's.
Status Follower::FindReplica() const {
  Result<std::string> text = reader_.Get(kIdentityKey);
  if (text.status().code() == Code::kNotFound) {
    return {Code::kUnavailable, reader_.Describe() +
                                    " holds no replica at present: see whether it was moved, or "
                                    "whether what it is on is mounted"};
  }
  if (!text.ok()) return text.status();
  Result<Identity> identity = ParseIdentity(*text);
  return identity.ok() ? CheckIdentity(*identity) : identity.status();
}

Result<LogPlan> Follower::PlanNext(Look look) const {
  Catalogue catalogue;
  catalogue.identity = *identity_;
  if (look == Look::kPacks) BACKSTAY_TRY(ListPacks(reader_, &catalogue));
  LogPlanOptions options;
  options.parallelism = options_.parallelism;
  Result<LogPlan> plan = PlanLog(reader_, catalogue, next_, options);
  // To look into a folder takes no request; a server is asked when a list is due.
  const bool looks = look == Look::kPacks || options_.looks_are_free;
  if (plan.ok() && plan->entries.empty() && looks) BACKSTAY_TRY(FindReplica());
  return plan;
}

Result<LogPlan> Follower::PlanAll() {
  BACKSTAY_TRY(FindReplica());
  return LookAtReplica(reader_, options_.parallelism,
                       [this](const Catalogue& catalogue) -> Result<LogPlan> {
                         BACKSTAY_TRY(CheckIdentity(catalogue.identity));
                         identity_ = plan_.identity = catalogue.identity;
                         LogPlanOptions options;
                         options.parallelism = options_.parallelism;
                         return PlanLog(reader_, catalogue, next_, options);
                       });
}

Result<bool> Follower::Poll(Look look) {
  Result<LogPlan> plan = look == Look::kAll ? PlanAll() : PlanNext(look);
  // What a list shows may mend it.
  if (plan.ok() && plan->damage && look != Look::kAll) plan = PlanAll();
  if (!plan.ok()) return plan.status();
  const bool ends = plan->base_end.has_value();
  const std::string damage = plan->damage ? plan->damage->what : "";
  Result<bool> news = ApplyLog(OfOneBase(std::move(*plan)));
  if (!news.ok() || (!ends && damage.empty())) return news;
  return Status(Code::kCorrupt, reader_.Describe() +
                                    (ends ? ": the database got another page size, and no snapshot "
                                            "since then is finished"
                                          : ": the log is damaged at " + damage));
}

// What differs goes into the copy.
Status Follower::CopyFrom(PageStore* restored, const ReplayResult& result) {
  const uint64_t size = uint64_t{result.pages} * result.page_size;
  std::vector<uint8_t> page(result.page_size);
  std::vector<uint8_t> old(page.size());
  copy_->Discard();
  copy_->SetPageSize(result.page_size);
  if (copy_->size() > size) BACKSTAY_TRY(copy_->Truncate(size));
  for (uint64_t at = 0; at < size; at += page.size()) {
    BACKSTAY_TRY(restored->Read(at, page.data(), page.size()));
    BACKSTAY_TRY(copy_->Read(at, old.data(), old.size()));
    if (at < copy_->size() && page == old) continue;
    BACKSTAY_TRY(copy_->Write(at, page));
  }
  return Status::Ok();
}

Status Follower::Rebuild(const Status& why) {
  RestoreOptions restore;
  restore.plan.log.parallelism = restore.replay.parallelism = options_.parallelism;
  Result<RestorePlan> plan = PlanFromReplica(reader_, restore.target, restore.plan);
  // What stops a restore there is the same damage, or none of the copy's.
  if (plan.status().code() == Code::kCorrupt) return why;
  if (!plan.ok()) return plan.status();
  BACKSTAY_TRY(CheckIdentity(plan->identity));
  const LogStart& at = state_.points.front().next;
  const LogStart end = BehindPlan(*plan);
  if (end.txid == at.txid && end.segment_number == at.segment_number && end.epoch == at.epoch) {
    return why;
  }
  restore.ready = std::move(*plan);
  const std::string folder = FolderOf(options_.copy);
  Result<Fd> file = OpenFile(folder, O_TMPFILE | O_RDWR);
  if (!file.ok()) return file.status().Wrap("temporary file in " + folder);
  FilePageStore store(*file, "temporary file in " + folder);
  Result<RestoreOutcome> outcome = RestoreInto(reader_, restore, &store);
  if (!outcome.ok()) return outcome.status();
  apply_.reset();
  BACKSTAY_TRY(CopyFrom(&store, outcome->result));
  const FollowPoint point = PointOf(*outcome, 0, {});
  identity_ = outcome->plan.identity;
  BACKSTAY_TRY(Adopt(point, outcome->result.page_hashes));
  options_.say(Level::kInfo, options_.copy + ": restored anew: the log did not lead on from it");
  return Commit(point);
}

Result<bool> Follower::Step(Look look) {
  if (!copy_) BACKSTAY_TRY(Open());
  if (!apply_) BACKSTAY_TRY(Load());
  BACKSTAY_TRY(copy_->InPlace());
  if (waiting_) BACKSTAY_TRY(CommitWaiting());
  Result<bool> news = Poll(identity_ ? look : Look::kAll);
  if (news.status().code() != Code::kCorrupt) return news;
  BACKSTAY_TRY(Rebuild(news.status()));
  BACKSTAY_TRY(Poll(Look::kAll).status());
  return true;
}

Status Follower::Run() {
  FollowPace pace(
      {options_.copy, options_.interval_ms, RealClock(), options_.say, options_.recovered});
  while (true) {
    Result<bool> news = Step(pace.ListIsDue() ? Look::kPacks : Look::kNext);
    if (!news.ok() && CannotHeal(news.status())) return news.status();
    pace.Note(news);
    if (!options_.wait(pace.WaitMs())) return {Code::kCancelled, ""};
  }
}

}  // namespace backstay
