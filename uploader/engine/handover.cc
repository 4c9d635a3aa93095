#include "uploader/engine/handover.h"

#include <algorithm>
#include <chrono>
#include <exception>
#include <iterator>
#include <utility>

namespace backstay {
namespace {

constexpr auto kPatience = std::chrono::milliseconds(100);
constexpr auto kLongPatience = std::chrono::seconds(1);
constexpr size_t kMaxPageNumbers = 1 << 20;  // in one transaction without images

// `a`, then `b`, as one without images.
TransactionPtr WithoutImages(const Transaction& a, const Transaction& b) {
  auto both = std::make_shared<Transaction>();
  both->committed = a.committed || b.committed;
  both->complete = a.complete && b.complete;
  both->page_size = b.page_size;
  both->pages = b.pages;
  both->time_ms = b.time_ms;
  std::set_union(a.pgnos.begin(), a.pgnos.end(), b.pgnos.begin(), b.pgnos.end(),
                 std::back_inserter(both->pgnos));
  if (both->pgnos.size() <= kMaxPageNumbers) return both;
  both->complete = false;
  both->pgnos = {};
  return both;
}

}  // namespace

void Handover::SetKnownLocked(const FileLook& look) {
  ++epoch_;
  unexplained_.reset();
  known_ = look.rollback ? std::optional(look) : std::nullopt;
  rollback_ = known_.has_value();
}

// The file is not what the last transaction left. True: a neighbour has told what it did.
bool Handover::BridgeLocked(const FileLook& look) {
  if (!kept() || foreign_ || !options_.bridge) return false;
  std::optional<std::vector<TransactionPtr>> steps = options_.bridge(*known_, look);
  if (!steps) return false;
  for (TransactionPtr& transaction : *steps) PushLocked(std::move(transaction));
  if (!look.rollback) left_ = look.stamp;
  return true;
}

void Handover::DifferLocked(const FileLook& look) { foreign_ = !BridgeLocked(look); }

// The last transaction has turned WAL mode on: what others commit from here on leaves the file as
// it is, and this process need not commit anything itself.
void Handover::LeaveRollbackLocked(const FileLook& look) {
  if (kept()) left_ = look.stamp;
  SetKnownLocked(look);
}

// A look without the database's lock may fall into the middle of a neighbour's transaction, who
// tells of it after the file has changed: only what stays as it is was somebody else.
bool Handover::StaysLocked(const FileLook& look) {
  if (!options_.bridge) return true;
  const auto now = std::chrono::steady_clock::now();
  if (!unexplained_) unexplained_ = {look, now, now};
  if (!unexplained_->look.Same(look)) {
    unexplained_->look = look;
    unexplained_->since = now;
  }
  return now - unexplained_->since >= kPatience || now - unexplained_->first >= kLongPatience;
}

bool Handover::Opened(const FileLook& look) {
  std::lock_guard<std::mutex> lock(mutex_);
  const bool same = known_ && known_->Same(look);
  bool followed = same;
  if (known_ && !same) {
    followed = BridgeLocked(look);
    // SettledSince() looks again.
    if (!followed && kept() && !foreign_ && look.rollback && options_.bridge) return true;
    foreign_ = foreign_ || !followed;
  }
  SetKnownLocked(look);
  return followed && known_;
}

void Handover::Keep(bool still) {
  std::lock_guard<std::mutex> lock(mutex_);
  still_ = still;
  if (!still) room_.notify_all();
}

// The application has the database locked, and has not written to it yet: what is read meanwhile is
// what it looked at. No longer than all its waits together are a small part of the time.
void Handover::StandStillLocked(std::unique_lock<std::mutex>* lock) {
  constexpr int kShare = 50;
  const auto start = std::chrono::steady_clock::now();
  if (!still_ || !kept() || start < waits_from_) return;
  stands_ = true;
  room_.wait_for(*lock, std::chrono::milliseconds(kMaxWaitMs), [&] { return !still_ || !kept(); });
  stands_ = false;
  const auto end = std::chrono::steady_clock::now();
  waits_from_ = end + kShare * (end - start);
}

void Handover::Begin(const FileLook& look) {
  std::unique_lock<std::mutex> lock(mutex_);
  if (known_ && !known_->Same(look)) {
    DifferLocked(look);
  } else if (!known_ && look.page_size != 0 && look.rollback) {
    // Somebody else has turned WAL mode off, and may have written since.
    foreign_ = true;
  } else {
    StandStillLocked(&lock);
  }
  ++begun_;
  ++epoch_;
}

void Handover::End(TransactionPtr transaction, const FileLook& look) {
  std::unique_lock<std::mutex> lock(mutex_);
  auto fits = [&] {
    return !kept() || bytes_ == 0 || bytes_ + transaction->bytes() <= options_.max_bytes;
  };
  if (!fits() && !gave_up_) {
    gave_up_ = !room_.wait_for(lock, std::chrono::milliseconds(kMaxWaitMs), fits);
  }
  try {
    if (kept() && OpenLocked())
      PushLocked(fits() ? std::move(transaction) : WithoutImages({}, *transaction));
  } catch (const std::exception&) {
    foreign_ = true;
  }
  EndLocked(look);
}

void Handover::EndUnknown(const FileLook& look) {
  std::lock_guard<std::mutex> lock(mutex_);
  foreign_ = true;
  EndLocked(look);
}

void Handover::EndLocked(const FileLook& look) {
  if (OpenLocked()) {
    ++ended_;
  } else {
    foreign_ = true;
  }
  // The commit that turns WAL mode on still counts as one of the file; what follows does not.
  ++epoch_;
  known_ = look;
  rollback_ = true;
}

void Handover::PushLocked(TransactionPtr transaction) {
  if (!transaction->has_images() && !queue_.empty() && !queue_.back()->has_images()) {
    TransactionPtr last = std::move(queue_.back());
    queue_.pop_back();
    bytes_ -= last->bytes();
    pages_ -= last->pgnos.size();
    transaction = WithoutImages(*last, *transaction);
  }
  bytes_ += transaction->bytes();
  pages_ += transaction->pgnos.size();
  queue_.push_back(std::move(transaction));
}

void Handover::EnterWal(const FileLook& look) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!known_) return;
  if (!known_->Same(look)) DifferLocked(look);
  ++epoch_;
  known_.reset();
  rollback_ = false;
  if (kept()) entry_ = look.stamp;
}

Handover::Batch Handover::Take() {
  std::lock_guard<std::mutex> lock(mutex_);
  Batch batch;
  batch.transactions.assign(queue_.begin(), queue_.end());
  batch.foreign = std::exchange(foreign_, false);
  batch.look = known_;
  batch.entry = std::exchange(entry_, std::nullopt);
  batch.left = std::exchange(left_, std::nullopt);
  queue_.clear();
  bytes_ = 0;
  pages_ = 0;
  gave_up_ = false;
  room_.notify_all();
  return batch;
}

uint64_t Handover::queued_pages() {
  std::lock_guard<std::mutex> lock(mutex_);
  return pages_;
}

bool Handover::Idle() {
  std::lock_guard<std::mutex> lock(mutex_);
  return queue_.empty() && !OpenLocked();
}

bool Handover::Open() {
  std::lock_guard<std::mutex> lock(mutex_);
  return OpenLocked();
}

uint32_t Handover::pages() {
  std::lock_guard<std::mutex> lock(mutex_);
  return known_ ? known_->pages : 0;
}

uint64_t Handover::begun() {
  std::lock_guard<std::mutex> lock(mutex_);
  return begun_;
}

bool Handover::unexplained() {
  std::lock_guard<std::mutex> lock(mutex_);
  return unexplained_.has_value();
}

bool Handover::Poll() { return SettledSince(0) != Settled::kNotYet; }

Handover::Settled Handover::SettledSince(uint64_t begun) {
  uint64_t epoch = 0;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (foreign_) return Settled::kForeign;
    if (ended_ < begun) return Settled::kNotYet;
    // One that is open now began after the reading, and has looked at the file before.
    // The journal of one that stands still is there already, and says nothing of the file.
    if (!known_ || begun_ > ended_ || stands_) return Settled::kYes;
    epoch = epoch_;
  }
  if (options_.write_active()) return Settled::kNotYet;
  FileLook look = options_.look();
  if (look.page_size == 0) return Settled::kNotYet;
  std::lock_guard<std::mutex> lock(mutex_);
  if (foreign_) return Settled::kForeign;
  if (epoch_ != epoch) return Settled::kNotYet;
  if (known_->Same(look)) {
    unexplained_.reset();
    if (look.stamp.size >= 0) known_->stamp = look.stamp;  // its attributes may have changed
    if (!look.rollback) LeaveRollbackLocked(look);
    return Settled::kYes;
  }
  const bool bridged = BridgeLocked(look);
  if (!bridged && !StaysLocked(look)) return Settled::kNotYet;
  foreign_ = !bridged;
  SetKnownLocked(look);
  return foreign_ ? Settled::kForeign : Settled::kYes;
}

void Handover::DropLocked(Use use) {
  use_ = use;
  // Of a WAL that may be over when this process ships.
  entry_.reset();
  left_.reset();
  queue_.clear();
  bytes_ = 0;
  pages_ = 0;
  room_.notify_all();
}

void Handover::Deactivate() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (kept()) DropLocked(Use::kDropped);
}

void Handover::Close() {
  std::lock_guard<std::mutex> lock(mutex_);
  DropLocked(Use::kClosed);
}

void Handover::Activate(const FileLook& look) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (use_ == Use::kClosed) return;
  use_ = Use::kKept;
  foreign_ = OpenLocked();
  SetKnownLocked(look);
}

}  // namespace backstay
