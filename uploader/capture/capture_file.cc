// Capture, the part for rollback-journal modes: the database file is all there is, and what a
// transaction changed is what was handed over at its end.

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>

#include "uploader/base/hash.h"
#include "uploader/capture/capture.h"

namespace backstay {
namespace {

constexpr uint64_t kMostRest = 32 << 20;  // bytes of pages that are read at once

// Keeps the next transaction from beginning, however the reading ends.
class Kept {
 public:
  Kept(const FileFollower& file, int tries) : file_(file) { file_.keep(tries); }
  Kept(const Kept&) = delete;
  Kept& operator=(const Kept&) = delete;
  ~Kept() { file_.let(); }

 private:
  const FileFollower& file_;
};

}  // namespace

// Transactions that go into one segment.
struct Capture::Steps {
  std::vector<EncoderStep> steps;
  size_t images = 0;
  std::unordered_map<uint32_t, uint64_t> hashes;  // of the pages in them, after them
  uint32_t least_pages = UINT32_MAX;              // smallest database size so far
};

// Takes the pages that differ from what is there already. While a snapshot is copied it takes all:
// the copy may hold what a page was in the middle of the transaction, also of one that was rolled
// back.
void Capture::AddStep(const Transaction& transaction, Steps* to) const {
  const size_t n = options_.page_size;
  EncoderStep step;
  step.pages = transaction.pages;
  step.time_ms = transaction.time_ms;
  uint32_t before = to->steps.empty() ? options_.index->pages() : to->steps.back().pages;
  to->least_pages = std::min(to->least_pages, before);
  for (size_t i = 0; i < transaction.pgnos.size(); ++i) {
    uint32_t pgno = transaction.pgnos[i];
    if (pgno > transaction.pages || pgno == LockBytePage(options_.page_size)) continue;
    const uint8_t* image = transaction.images.data() + i * n;
    uint64_t hash = PageHash(pgno, {image, n});
    auto ahead = to->hashes.find(pgno);
    uint64_t known = ahead != to->hashes.end() ? ahead->second : options_.index->Get(pgno);
    bool same = hash == known && pgno <= to->least_pages;
    if (same && !encoder_.snapshot_active()) continue;
    to->hashes[pgno] = hash;
    step.images.push_back({pgno, image, transaction.old.data() + i * n});
  }
  if (step.images.empty() && step.pages == before) return;
  to->images += step.images.size();
  to->steps.push_back(std::move(step));
}

Status Capture::EncodeSteps(bool repair, Steps* steps) {
  Status encoded = Status::Ok();
  if (!steps->steps.empty()) encoded = encoder_.Encode(steps->steps, repair, WalMark{});
  *steps = Steps();
  return encoded;
}

bool Capture::HasImages(const Transaction& transaction) const {
  return transaction.has_images() &&
         (transaction.pgnos.empty() || transaction.page_size == options_.page_size);
}

Status Capture::EncodeTransactions(const std::vector<TransactionPtr>& transactions) {
  const size_t frame = FramePages(options_.page_size);
  Steps steps;
  for (const TransactionPtr& transaction : transactions) {
    if (!HasImages(*transaction)) return {Code::kForeign, "a transaction of another page size"};
    if (steps.images + transaction->pgnos.size() > frame) {
      BACKSTAY_TRY(EncodeSteps(/*repair=*/false, &steps));
    }
    // An empty file is no database yet: what fills it again writes every page.
    if (transaction->pages > 0) AddStep(*transaction, &steps);
  }
  return EncodeSteps(/*repair=*/false, &steps);
}

void Capture::SkipTransaction(const Transaction& transaction) {
  const size_t n = options_.page_size;
  for (size_t i = 0; i < transaction.pgnos.size(); ++i) {
    uint32_t pgno = transaction.pgnos[i];
    if (pgno > transaction.pages) break;
    // What a copy has read of it may be from the middle of the transaction.
    bool same = HasImages(transaction) && !encoder_.snapshot_active() &&
                PageHash(pgno, {transaction.images.data() + i * n, n}) == options_.index->Get(pgno);
    if (!same) options_.index->Set(pgno, 0);
  }
  if (transaction.pages > 0) options_.index->Resize(transaction.pages);
  if (!transaction.complete) options_.index->SetAllUnknown();
}

bool Capture::SetStamp(const FileStamp& stamp) {
  // A WAL that was deleted can still be read, but its images are no longer the newest.
  source_.ForgetFrames();
  const FileStamp before = place_.file();
  place_.InFile(stamp);
  return before != stamp || before.settled != stamp.settled;
}

Status Capture::RepairFile(bool all, const FileFollower& file) {
  WalTarget none;
  none.rollback = true;
  BACKSTAY_TRY(StandAt(none));
  merged_transactions_ = 0;
  buffer_.resize(static_cast<size_t>(FramePages(options_.page_size)) * options_.page_size);
  FileFollower::Changes changes;
  // Not in the middle of a transaction: half of what is read then would have to be sent again.
  BACKSTAY_TRY(SettleFile(file, /*quiet_turns=*/100, &changes));
  CoverPages(changes.pages);
  for (int tries = 0;; ++tries) {
    if (all || !UnknownPages(changes.pages)) {
      BACKSTAY_TRY(CompareFile(std::exchange(all, false), file, &changes));
    }
    Result<bool> done = ReadRest(tries, file, &changes);
    if (!done.ok()) return done.status();
    if (*done) break;
    if (!file.yield(/*waiting=*/true)) return {Code::kCancelled, "repair was interrupted", true};
  }
  if (changes.pages == 0) return {Code::kUnavailable, "the database file is empty", true};
  if (encoder_.open() || options_.index->pages() != changes.pages) {
    EncoderStep end;
    end.transactions = 1 + merged_transactions_;
    end.time_ms = options_.clock->WallMs();
    end.pages = changes.pages;
    BACKSTAY_TRY(encoder_.Encode({end}, /*repair=*/true, WalMark{}));
  }
  place_.InFile(changes.stamp);
  return Status::Ok();
}

Status Capture::CompareFile(bool all, const FileFollower& file, FileFollower::Changes* changes) {
  constexpr uint32_t kPagesBetweenYields = 64;
  std::vector<PageImage> found;
  BACKSTAY_TRY(MergeChanges(file, changes));
  for (uint32_t pgno = 1; pgno <= changes->pages; ++pgno) {
    BACKSTAY_TRY(ComparePage(pgno, all, &found));
    if (pgno % kPagesBetweenYields != 0) continue;
    BACKSTAY_TRY(FlushRepair(&found));
    if (!file.yield(/*waiting=*/false)) return {Code::kCancelled, "repair was interrupted", true};
    BACKSTAY_TRY(MergeChanges(file, changes));
  }
  return FlushRepair(&found);
}

// Of a database of so many pages: what the index has behind them goes with its end. Nothing: they
// are more than are read at once.
std::optional<std::vector<uint32_t>> Capture::UnknownPages(uint32_t pages) const {
  std::vector<uint32_t> pgnos;
  if (options_.index->unknown() == 0) return pgnos;
  for (uint32_t pgno = 1; pgno <= pages; ++pgno) {
    const bool counts = pgno != LockBytePage(options_.page_size);
    if (!counts || options_.index->Get(pgno) != 0) continue;
    if (pgnos.size() == kMostRest / options_.page_size) return std::nullopt;
    pgnos.push_back(pgno);
  }
  return pgnos;
}

// Reads all that is unknown before anything of it is encoded, which takes longer by far: between
// two transactions it is a state of the database. False: one of them came in between, or it is too
// much.
Result<bool> Capture::ReadRest(int tries, const FileFollower& file,
                               FileFollower::Changes* changes) {
  const Kept kept(file, tries);
  BACKSTAY_TRY(SettleFile(file, /*quiet_turns=*/100, changes));
  const uint64_t begun = file.begun();
  Result<bool> settled = file.settled(begun);
  if (!settled.ok() || !*settled) return settled;
  const size_t n = options_.page_size;
  const std::optional<std::vector<uint32_t>> pgnos = UnknownPages(changes->pages);
  if (!pgnos) return false;
  std::vector<uint8_t> images(pgnos->size() * n);
  for (size_t i = 0; i < pgnos->size(); ++i) {
    BACKSTAY_TRY(source_.Current((*pgnos)[i], PageBuffer(images).subspan(i * n, n)));
  }
  if (file.begun() != begun) return false;
  settled = file.settled(begun);
  if (!settled.ok() || !*settled) return settled;
  // Other processes tell afterwards.
  merged_ = 0;
  BACKSTAY_TRY(MergeChanges(file, changes));
  if (merged_ != 0) return false;
  file.let();
  BACKSTAY_TRY(EncodeRest(file, *pgnos, images));
  return true;
}

// Without a look at what was written since: it is newer.
Status Capture::EncodeRest(const FileFollower& file, const std::vector<uint32_t>& pgnos,
                           const std::vector<uint8_t>& images) {
  std::vector<PageImage> found;
  for (size_t i = 0; i < pgnos.size(); ++i) {
    found.push_back({pgnos[i], images.data() + i * options_.page_size});
    if (found.size() < FramePages(options_.page_size) && i + 1 < pgnos.size()) continue;
    BACKSTAY_TRY(FlushRepair(&found));
    if (!file.yield(/*waiting=*/false)) return {Code::kCancelled, "repair was interrupted", true};
  }
  return Status::Ok();
}

// Waits until the transactions in the middle of which pages were read have handed theirs over; in
// the first turns also for those that have begun since.
Status Capture::SettleFile(const FileFollower& file, int quiet_turns,
                           FileFollower::Changes* changes) {
  uint64_t begun = file.begun();
  for (int turn = 1;; ++turn) {
    if (turn <= quiet_turns) begun = file.begun();
    Result<bool> settled = file.settled(begun);
    if (!settled.ok()) return settled.status();
    BACKSTAY_TRY(MergeChanges(file, changes));
    if (*settled) return Status::Ok();
    if (!file.yield(/*waiting=*/true)) return {Code::kCancelled, "repair was interrupted", true};
  }
}

Status Capture::MergeChanges(const FileFollower& file, FileFollower::Changes* changes) {
  Result<FileFollower::Changes> taken = file.take();
  if (!taken.ok()) return taken.status();
  *changes = std::move(*taken);
  merged_ += changes->transactions.size();
  for (const TransactionPtr& transaction : changes->transactions) {
    merged_transactions_ += transaction->committed ? 1 : 0;
    if (!HasImages(*transaction) || transaction->pages == 0) {
      SkipTransaction(*transaction);
      continue;
    }
    CoverPages(transaction->pages);
    Steps steps;
    AddStep(*transaction, &steps);
    for (EncoderStep& step : steps.steps) step.transactions = 0;
    BACKSTAY_TRY(EncodeSteps(/*repair=*/true, &steps));
  }
  changes->transactions.clear();
  return Status::Ok();
}

}  // namespace backstay
