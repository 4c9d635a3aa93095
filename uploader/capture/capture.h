// Capture: follows the committed end of one WAL and encodes what it passes; repairs after a gap.
// Without a WAL it encodes the transactions that are handed to it (capture_file.cc).
//
// Owned by one pipeline; every method runs on its capture thread with the pipeline's mutex held.
// Position and content come from the files; what the shim notes only says how far is committed.
// Errors leave the position where the last whole segment ended; kNotFound from Advance() means
// frames vanished: the caller repairs.

#ifndef BACKSTAY_UPLOADER_CAPTURE_CAPTURE_H_
#define BACKSTAY_UPLOADER_CAPTURE_CAPTURE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "uploader/base/clock.h"
#include "uploader/base/status.h"
#include "uploader/capture/encoder.h"
#include "uploader/capture/page_source.h"
#include "uploader/capture/place.h"
#include "uploader/capture/transaction.h"
#include "uploader/capture/wal_reader.h"

namespace backstay {

// How Capture follows the database file while it is read without a WAL.
struct FileFollower {
  struct Changes {
    std::vector<TransactionPtr> transactions;
    uint32_t pages = 0;  // database size after them
    FileStamp stamp;     // of the file after them
  };
  // What was handed over since the last call. Fails when something else changed the file.
  std::function<Result<Changes>()> take;
  // Transactions that have begun so far.
  std::function<uint64_t()> begun;
  // True once everything that was read before begun() gave this number is what the transactions
  // taken after this call say. Fails like take().
  std::function<Result<bool>(uint64_t begun)> settled;
  // Lets others work, `waiting` for them; false to give up.
  std::function<bool(bool waiting)> yield;
  // What is unknown is about to be read between two transactions, and that has failed `tries` times
  // since one of them came in between: keeps the next one from beginning, for a moment. Until
  // let().
  std::function<void(int tries)> keep;
  std::function<void()> let;
};

class Capture {
 public:
  struct Options {
    std::string database_path;
    uint32_t page_size = 0;
    uint64_t cache_bytes = 0;
    FileReader file;
    std::function<int64_t()> file_size;  // bytes, or -1
    // When the transaction whose commit frame is this one ended, ms; 0: not known.
    std::function<int64_t(uint32_t salt1, uint32_t frame)> commit_time;
    // Somebody waits for the WAL, and a repair may ship what a long transaction still lacks.
    std::function<bool()> hurried;
    // The host has closed the database: nothing is added to its WAL, whatever its name is by now.
    std::function<bool()> closed;
    PageIndex* index = nullptr;
    Outbox* outbox = nullptr;
    Clock* clock = nullptr;
  };
  explicit Capture(Options options);

  // Where the index stands. Then one of Locate() and StartFresh() before the first Advance().
  void SetState(const LogHead& head, const WalMark& wal, const FileStamp& stamp);
  // The stamp that the database file had when it entered WAL mode in this process.
  void SetEntryStamp(const FileStamp& stamp) { place_.EntersWalMode(stamp); }
  // Finds that place in the files. False: something happened in between that was not seen;
  // Repair(true). `opened`: the stamp of the database file when the host opened it.
  Result<bool> Locate(const WalTarget& to, const FileStamp& opened);
  // The state is unknown: everything committed so far belongs to the first snapshot.
  Status StartFresh(const WalTarget& to);

  // Encodes all frames up to `to`. False: a gap (the WAL began anew unseen); Repair(true). Of a
  // transaction that is long, the rest and what follows it is passed like Skip() when that is
  // `hurried`: the index then has unknown pages, and Repair(false) is due before anything else.
  Result<bool> Advance(const WalTarget& to);
  // Goes to `to` without encoding: the pages of the frames become unknown in the index. False: a
  // gap.
  Result<bool> Skip(const WalTarget& to);
  // All committed frames of the WAL were encoded and its content is about to go (finish_wal).
  void AnnounceRestart() { place_.FinishWal(); }
  // The WAL was truncated or deleted after that, when the database file had this stamp.
  void WalGone(const FileStamp& stamp) { place_.WalGone(stamp); }

  // Ships every page whose image differs from the index (`all`), or that is unknown, as one
  // transaction. `fresh` gives the committed end, and before it the ends of earlier WALs that the
  // file may still hold; `yield` is called every few pages with the chance to let others work, and
  // returns false to give up (the rest stays for the next repair). No target: another journal mode.
  using FreshTargets = std::function<std::vector<WalTarget>()>;
  Status Repair(bool all, const FreshTargets& fresh, const std::function<bool()>& yield);

  // The same without a WAL. kUnavailable: something else changed the file meanwhile.
  Status RepairFile(bool all, const FileFollower& file);
  // Encodes whole transactions, which have images.
  Status EncodeTransactions(const std::vector<TransactionPtr>& transactions);
  // Passes one without encoding: its pages become unknown in the index.
  void SkipTransaction(const Transaction& transaction);
  // The database file had this stamp when everything so far was encoded. True: it is a new one.
  bool SetStamp(const FileStamp& stamp);

  // Pages of a snapshot, 1-based. In a first one, without which nothing is in the replica, unknown
  // pages that no segment holds become known; a later one leaves what is unknown to the repair.
  // `out` has room for `count` pages of this database, else kCancelled.
  Status CopyPages(uint32_t first, uint32_t count, std::span<uint8_t> out);
  // Database size at `to`, pages; never more than the files can hold.
  uint32_t PagesAt(const WalTarget& to);

  Encoder* encoder() { return &encoder_; }
  const Encoder& encoder() const { return encoder_; }
  // Where what is encoded stands.
  const Place& place() const { return place_; }
  // What was encoded lay in frames that SQLite itself would not find again after a crash.
  bool passed_bare_frames() const { return wal_.passed_bare(); }
  std::shared_ptr<Fd> wal_sync_handle() const { return wal_.SyncHandle(); }
  // The WAL file is (still) the one of `target`.
  bool Holds(const WalTarget& target);

 private:
  uint32_t PagesInFile() const;
  uint32_t MostPages() const;
  Status CheckPages(uint32_t pages) const;
  Status OtherWal() const;
  Result<Observation> Observe(const WalTarget& to, bool first);
  Result<bool> EnterWal(const WalTarget& to);
  Result<bool> IsStill(const WalTarget& to);
  Result<uint32_t> CommitsIn(uint32_t first, const WalTarget& to);
  Status CountFrom(uint32_t frame, const WalTarget& to);
  Status StandAt(const WalTarget& to);
  Status EncodeChunk(const WalTarget& to);
  bool LeavesRest(const WalTarget& to) const;
  Status PassTo(const std::vector<WalTarget>& targets);
  Status CatchUp(const std::vector<WalTarget>& targets, bool close);
  Status Merge(const WalTarget& to, bool close);
  Status ComparePage(uint32_t pgno, bool all, std::vector<PageImage>* found);
  void CoverPages(uint32_t pages);
  Status FlushRepair(std::vector<PageImage>* found);
  EncoderStep StepOf(size_t first, size_t last) const;
  Status CompareFile(bool all, const FileFollower& file, FileFollower::Changes* changes);
  Status SettleFile(const FileFollower& file, int quiet_turns, FileFollower::Changes* changes);
  Status MergeChanges(const FileFollower& file, FileFollower::Changes* changes);
  std::optional<std::vector<uint32_t>> UnknownPages(uint32_t pages) const;
  Result<bool> ReadRest(int tries, const FileFollower& file, FileFollower::Changes* changes);
  Status EncodeRest(const FileFollower& file, const std::vector<uint32_t>& pgnos,
                    const std::vector<uint8_t>& images);
  struct Steps;
  bool HasImages(const Transaction& transaction) const;
  void AddStep(const Transaction& transaction, Steps* to) const;
  Status EncodeSteps(bool repair, Steps* steps);
  void NoteFrames();
  int64_t TimeOf(uint32_t frame) const;

  const Options options_;
  WalReader wal_;
  PageSource source_;
  Encoder encoder_;
  Place place_;
  uint64_t merged_transactions_ = 0;  // commits that a repair has swallowed
  uint64_t merged_ = 0;               // transactions without a WAL, among them those rolled back
  std::vector<WalFrame> frames_;
  std::vector<uint8_t> buffer_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_CAPTURE_CAPTURE_H_
