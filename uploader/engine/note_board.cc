#include "uploader/engine/note_board.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace backstay {
namespace {

std::chrono::milliseconds Ms(int64_t ms) {
  return std::chrono::milliseconds(std::max<int64_t>(ms, 0));
}

}  // namespace

bool NoteBoard::IsFar(const WalTarget& target) const {
  const bool same_wal = target.salt1 == encoded_.salt1 && target.salt2 == encoded_.salt2;
  const uint32_t from = same_wal ? std::min(encoded_.frame, target.max_frame) : 0;
  return target.max_frame - from >= wake_frames_;
}

void NoteBoard::Committed(const WalTarget& target) {
  int64_t now = clock_->WallMs();
  std::lock_guard<std::mutex> lock(mutex_);
  if (!active_) return;
  // A note of a reader may come late, behind commits that it does not know of: a WAL only grows,
  // and its salts never return.
  if (before_ && target.SameWal(*before_)) return;
  const bool same_wal = latest_ && target.SameWal(*latest_);
  if (same_wal && target.max_frame < latest_->max_frame) return;
  const bool known = same_wal && target.max_frame == latest_->max_frame;
  // A WAL that begins anew is noted before its old frames are overwritten.
  if (latest_ && !target.SameWal(*latest_)) before_ = latest_;
  latest_ = target;
  began_anew_.reset();
  commits_[next_commit_] = {target.salt1, target.max_frame, now};
  next_commit_ = (next_commit_ + 1) % commits_.size();
  NoteLocked(IsFar(target), !known);
}

void NoteBoard::BeganAnew(uint32_t change) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (active_) began_anew_ = change;
}

std::optional<uint32_t> NoteBoard::began_anew() {
  std::lock_guard<std::mutex> lock(mutex_);
  return began_anew_;
}

void NoteBoard::Handed(bool far) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (active_) NoteLocked(far);
}

void NoteBoard::LeaveWal() {
  std::lock_guard<std::mutex> lock(mutex_);
  latest_.reset();
}

void NoteBoard::NoteLocked(bool far, bool counts) {
  if (!noted_) first_commit_ms_ = clock_->MonotonicMs();
  if (counts) ++not_taken_.count;
  not_taken_.last_ms = clock_->WallMs();
  if (!noted_) not_taken_.first_ms = not_taken_.last_ms;
  noted_ = true;
  if (!wake_on_commit_ && !(wake_on_distance_ && far)) return;
  wake_on_commit_ = false;
  wake_on_distance_ = false;
  poked_ = true;
  WakeLocked();
}

bool NoteBoard::Finish(int64_t timeout_ms, bool commit_waits) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!active_) return true;
  uint64_t ticket = ++asked_;
  ++finishes_;
  if (commit_waits) ++waiting_commits_;
  WakeLocked();
  done_.wait_for(lock, Ms(timeout_ms), [&] { return !active_ || finish_ticket_ >= ticket; });
  --finishes_;
  if (commit_waits) --waiting_commits_;
  return !active_ || finish_ticket_ >= ticket;
}

bool NoteBoard::Sync(int64_t timeout_ms, bool impatient) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (!active_) return false;
  Waiter waiter{++asked_, 0, false, waiters_};
  waiters_ = &waiter;
  ++syncs_;
  ++arrivals_;
  WakeLocked();
  CaptureLocked(&waiter);
  const uint64_t troubles = troubles_;
  done_.wait_for(lock, Ms(timeout_ms), [&] {
    return !active_ || ReachedLocked(waiter) || (impatient && troubles_ != troubles);
  });
  --syncs_;
  Waiter** at = &waiters_;
  while (*at != &waiter) at = &(*at)->next;
  *at = waiter.next;
  return active_ && ReachedLocked(waiter);
}

void NoteBoard::CaptureLocked(Waiter* waiter) const {
  if (waiter->captured || done_ticket_ < waiter->ticket) return;
  waiter->captured = true;
  waiter->segment = done_segment_;
}

bool NoteBoard::ReachedLocked(const Waiter& waiter) const {
  return waiter.captured && restorable_ && shipped_segment_ >= waiter.segment;
}

// Whoever would only go on waiting is not woken.
bool NoteBoard::AnyReachedLocked() const {
  for (const Waiter* waiter = waiters_; waiter != nullptr; waiter = waiter->next) {
    if (ReachedLocked(*waiter)) return true;
  }
  return false;
}

bool NoteBoard::AllShipped() {
  std::lock_guard<std::mutex> lock(mutex_);
  return active_ && done_ticket_ >= asked_ && restorable_ && shipped_segment_ >= done_segment_ &&
         remote_syncs_.count == 0;
}

void NoteBoard::Remotes::Add(uint64_t number, uint64_t ticket) {
  if (count < all.size()) ++count;
  all[count - 1] = {number, ticket, 0, false};
}

void NoteBoard::Serve(std::function<void(const Answers&)> answer) {
  std::lock_guard<std::mutex> lock(mutex_);
  answer_ = std::move(answer);
  if (answer_) answer_(answers_);
}

void NoteBoard::SyncFor(uint64_t number, uint64_t waits, int64_t patience_ms) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!active_) return;
  remote_syncs_.Add(number, ++asked_);
  arrivals_ += waits;
  remote_until_ms_ = clock_->MonotonicMs() + patience_ms;
  WakeLocked();
}

void NoteBoard::FinishFor(uint64_t number) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!active_) return;
  remote_finishes_.Add(number, ++asked_);
  WakeLocked();
}

void NoteBoard::Nudge() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (active_) NoteLocked(/*far=*/false);
}

// Answers what is reached. All of a kind are reached in the order in which they came.
void NoteBoard::SettleLocked() {
  const Answers before = answers_;
  const bool dropped = std::exchange(remote_drops_, drops_) != drops_;
  const auto reached = [this, dropped](Remote& remote) {
    if (dropped) {
      remote = {remote.number, ++asked_, 0, false};
      WakeLocked();
    }
    if (!remote.captured && others_ticket_ >= remote.ticket) {
      remote.captured = true;
      remote.segment = done_segment_;
    }
    if (!remote.captured || !restorable_ || shipped_segment_ < remote.segment) return false;
    answers_.sync = std::max(answers_.sync, remote.number);
    return true;
  };
  const auto read = [this](const Remote& remote) {
    if (finish_ticket_ < remote.ticket) return false;
    answers_.finish = std::max(answers_.finish, remote.number);
    return true;
  };
  const auto take = [](Remotes* remotes, const auto& is_over) {
    auto end = remotes->all.begin() + static_cast<std::ptrdiff_t>(remotes->count);
    auto left = std::remove_if(remotes->all.begin(), end, is_over);
    remotes->count = static_cast<size_t>(left - remotes->all.begin());
  };
  take(&remote_syncs_, reached);
  take(&remote_finishes_, read);
  if (answer_ && (before.sync != answers_.sync || before.finish != answers_.finish)) {
    answer_(answers_);
  }
}

void NoteBoard::WakeLocked() {
  work_.notify_one();
  wake_();
}

void NoteBoard::ArmLocked(bool wake_on_commit, const WalMark& encoded, uint32_t frames) {
  wake_on_commit_ = wake_on_commit;
  wake_on_distance_ = true;
  encoded_ = encoded;
  wake_frames_ = frames;
  poked_ = poked_ || (latest_ && IsFar(*latest_));
}

bool NoteBoard::IsWokenLocked(uint64_t seen_ticket, bool wake_on_commit) const {
  return stop_ || poked_ || asked_ > seen_ticket || (noted_ && wake_on_commit);
}

NoteBoard::Work NoteBoard::NowLocked() {
  wake_on_commit_ = false;
  wake_on_distance_ = false;
  poked_ = false;
  return {stop_, asked_, asked_ > done_ticket_, noted_, first_commit_ms_};
}

NoteBoard::Work NoteBoard::Wait(int64_t until_ms, uint64_t seen_ticket, bool wake_on_commit,
                                const WalMark& encoded, uint32_t frames) {
  std::unique_lock<std::mutex> lock(mutex_);
  ArmLocked(wake_on_commit, encoded, frames);
  work_.wait_for(lock, Ms(until_ms - clock_->MonotonicMs()),
                 [&] { return IsWokenLocked(seen_ticket, wake_on_commit); });
  return NowLocked();
}

std::optional<NoteBoard::Work> NoteBoard::Take(uint64_t seen_ticket, bool wake_on_commit,
                                               const WalMark& encoded, uint32_t frames) {
  std::lock_guard<std::mutex> lock(mutex_);
  ArmLocked(wake_on_commit, encoded, frames);
  if (!IsWokenLocked(seen_ticket, wake_on_commit)) return std::nullopt;
  return NowLocked();
}

NoteBoard::Work NoteBoard::Now() {
  std::lock_guard<std::mutex> lock(mutex_);
  return NowLocked();
}

int64_t NoteBoard::TakeCommits() {
  std::lock_guard<std::mutex> lock(mutex_);
  noted_ = false;
  return std::exchange(not_taken_, Noted{}).first_ms;
}

NoteBoard::Noted NoteBoard::NotTaken() {
  std::lock_guard<std::mutex> lock(mutex_);
  return not_taken_;
}

std::optional<WalTarget> NoteBoard::Latest() {
  std::lock_guard<std::mutex> lock(mutex_);
  return latest_;
}

void NoteBoard::Done(uint64_t ticket, uint64_t segment_number, bool with_others) {
  bool wake = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    done_ticket_ = std::max(done_ticket_, ticket);
    finish_ticket_ = std::max(finish_ticket_, ticket);
    if (with_others) others_ticket_ = std::max(others_ticket_, ticket);
    done_segment_ = segment_number;
    for (Waiter* waiter = waiters_; waiter != nullptr; waiter = waiter->next) CaptureLocked(waiter);
    SettleLocked();
    wake = finishes_ > 0 || AnyReachedLocked();
  }
  if (wake) done_.notify_all();
}

void NoteBoard::DoneFinish(uint64_t ticket) {
  std::lock_guard<std::mutex> lock(mutex_);
  finish_ticket_ = std::max(finish_ticket_, ticket);
  done_.notify_all();
  SettleLocked();
}

void NoteBoard::WalGone(const FileStamp& stamp) {
  std::lock_guard<std::mutex> lock(mutex_);
  gone_ = Gone{before_mark_.size >= 0 && stamp == before_mark_ ? after_mark_ : stamp, latest_,
               std::exchange(began_anew_, std::nullopt)};
  // The frames of a WAL that is gone are history: what follows starts from the database file.
  latest_.reset();
  poked_ = true;
  WakeLocked();
}

std::optional<WalTarget> NoteBoard::Before() {
  std::lock_guard<std::mutex> lock(mutex_);
  return before_;
}

void NoteBoard::Marked(const FileStamp& before, const FileStamp& after) {
  std::lock_guard<std::mutex> lock(mutex_);
  before_mark_ = before;
  after_mark_ = after;
  if (gone_ && gone_->stamp == before) gone_->stamp = after;
}

void NoteBoard::Opened() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (gone_) gone_->opened_since = true;
}

std::optional<NoteBoard::Gone> NoteBoard::TakeGone() {
  std::lock_guard<std::mutex> lock(mutex_);
  return std::exchange(gone_, std::nullopt);
}

void NoteBoard::Poke() {
  std::lock_guard<std::mutex> lock(mutex_);
  poked_ = true;
  WakeLocked();
}

int64_t NoteBoard::CommitTime(uint32_t salt1, uint32_t frame) {
  std::lock_guard<std::mutex> lock(mutex_);
  for (size_t i = 1; i <= commits_.size(); ++i) {
    const Commit& commit = commits_[(next_commit_ + commits_.size() - i) % commits_.size()];
    if (commit.salt1 != salt1 || commit.frame < frame) return 0;
    if (commit.frame == frame) return commit.time_ms;
  }
  return 0;
}

void NoteBoard::Shipped(uint64_t segment_number, bool restorable) {
  bool wake = false;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    shipped_segment_ = segment_number;
    restorable_ = restorable;
    regrouped_at_ = arrivals_ + group_;
    group_ = 0;
    SettleLocked();
    wake = AnyReachedLocked();
  }
  if (wake) done_.notify_all();
}

void NoteBoard::Trouble() {
  std::lock_guard<std::mutex> lock(mutex_);
  ++troubles_;
  done_.notify_all();
}

void NoteBoard::Dropped() {
  std::lock_guard<std::mutex> lock(mutex_);
  ++drops_;
  // The number of a dropped segment may stand for another one by now: only a pass after the repair
  // tells.
  for (Waiter* waiter = waiters_; waiter != nullptr; waiter = waiter->next) {
    waiter->captured = false;
    waiter->ticket = ++asked_;
    WakeLocked();
  }
  SettleLocked();
}

bool NoteBoard::SyncWaits() {
  std::lock_guard<std::mutex> lock(mutex_);
  return syncs_ > 0 || (remote_syncs_.count > 0 && clock_->MonotonicMs() < remote_until_ms_);
}

bool NoteBoard::CommitWaits() {
  std::lock_guard<std::mutex> lock(mutex_);
  return waiting_commits_ > 0;
}

void NoteBoard::Sending() {
  std::lock_guard<std::mutex> lock(mutex_);
  group_ += arrivals_ - sent_arrivals_;
  sent_arrivals_ = arrivals_;
}

bool NoteBoard::Regrouped() {
  std::lock_guard<std::mutex> lock(mutex_);
  return arrivals_ >= regrouped_at_ && done_ticket_ >= asked_;
}

void NoteBoard::Deactivate() {
  std::lock_guard<std::mutex> lock(mutex_);
  active_ = false;
  answers_.active = false;
  done_.notify_all();
  if (answer_) answer_(answers_);
}

void NoteBoard::Stop() {
  std::lock_guard<std::mutex> lock(mutex_);
  stop_ = true;
  active_ = false;
  WakeLocked();
  done_.notify_all();
}

}  // namespace backstay
