// Handover: what write transactions in rollback-journal modes give to the capture thread.
//
// One per pipeline. Without a WAL nothing but the hook at the end of a transaction knows what it
// changed, so its pages wait here, in bounded memory, until they are encoded. Whoever reads the
// database file meanwhile may read pages of a transaction that has not ended: what was read counts
// once every transaction that had begun by then has handed its pages over, also when it was rolled
// back. That rule, and looking at the file before each transaction, needs no lock on the database.
//
// Begin() and End() are called on application threads that hold the database's lock, so they come
// in turn; End() blocks at most kMaxWaitMs when the memory is used up, and then drops images, and
// Begin() while the pages of one before it are read, at most as long, and 2 % of the time. The rest
// is for the capture and job threads. No errors: a file that another program changed is told by
// `foreign`, and everything has to be compared.

#ifndef BACKSTAY_UPLOADER_ENGINE_HANDOVER_H_
#define BACKSTAY_UPLOADER_ENGINE_HANDOVER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "uploader/capture/file_look.h"
#include "uploader/capture/transaction.h"

namespace backstay {

class Handover {
 public:
  static constexpr int64_t kMaxWaitMs = 500;

  struct Options {
    std::function<FileLook()> look;  // at the file, as it is now
    // A transaction that was not told of is under way, or waits to be rolled back.
    std::function<bool()> write_active;
    // What neighbours have done to the file between the two looks, without images; nothing: that is
    // not known. May be null.
    std::function<std::optional<std::vector<TransactionPtr>>(const FileLook&, const FileLook&)>
        bridge;
    uint64_t max_bytes = 16 << 20;  // of images that wait
  };
  explicit Handover(Options options) : options_(std::move(options)) {}

  // Application threads. The host opened the database, again. True: it is in a rollback-journal
  // mode, and what was written since the last transaction that was seen is known.
  bool Opened(const FileLook& look);
  void Begin(const FileLook& look);
  // `look` is the file after the transaction. One that did not begin here does not count: what it
  // changed has to be compared.
  void End(TransactionPtr transaction, const FileLook& look);
  // The same when there is no memory for the transaction.
  void EndUnknown(const FileLook& look);
  // The first commit in WAL mode.
  void EnterWal(const FileLook& look);
  // The database is in a rollback-journal mode, as far as it was seen.
  bool rollback() const { return rollback_.load(); }

  // Capture thread.
  struct Batch {
    std::vector<TransactionPtr> transactions;  // in order
    bool foreign = false;            // something else changed the file, before or in between
    std::optional<FileLook> look;    // at the file after them; none in WAL mode
    std::optional<FileStamp> entry;  // what the file was when WAL mode began, if it did
    std::optional<FileStamp> left;   // likewise as it was found, before a commit told of it
  };
  Batch Take();
  // Pages that wait.
  uint64_t queued_pages();
  // Nothing waits, and no transaction is under way.
  bool Idle();
  // A transaction is under way.
  bool Open();
  // While pages are read that came without images, the next transaction waits before it begins.
  void Keep(bool still);
  // Database size after the last transaction, pages.
  uint32_t pages();
  // Looks for what other programs have committed. False: one of them may be just about to commit.
  bool Poll();
  // It has seen something that nobody has told of yet: it is worth to look again soon.
  bool unexplained();

  // Capture and job threads. Transactions that have begun so far.
  uint64_t begun();
  enum class Settled { kYes, kNotYet, kForeign };
  // Whether what was read of the file before begun() gave this number is no other than what the
  // transactions handed over so far say.
  Settled SettledSince(uint64_t begun);

  // This process does not ship: nothing is kept. Then it does: what the file holds now counts.
  void Deactivate();
  void Activate(const FileLook& look);
  // It never will again: nothing is kept from here on, whatever is said later.
  void Close();

 private:
  enum class Use { kKept, kDropped, kClosed };
  // A look that differs from what is known, and when it was first seen; before it, when one was.
  struct Unexplained {
    FileLook look;
    std::chrono::steady_clock::time_point since;
    std::chrono::steady_clock::time_point first;
  };

  bool kept() const { return use_ == Use::kKept; }
  void StandStillLocked(std::unique_lock<std::mutex>* lock);
  bool OpenLocked() const { return begun_ != ended_; }
  void DropLocked(Use use);
  void EndLocked(const FileLook& look);
  bool BridgeLocked(const FileLook& look);
  void DifferLocked(const FileLook& look);
  bool StaysLocked(const FileLook& look);
  void LeaveRollbackLocked(const FileLook& look);
  void PushLocked(TransactionPtr transaction);
  void SetKnownLocked(const FileLook& look);

  const Options options_;
  std::atomic<bool> rollback_{false};
  std::mutex mutex_;
  std::condition_variable room_;
  // All guarded by mutex_.
  std::deque<TransactionPtr> queue_;
  uint64_t bytes_ = 0;
  uint64_t pages_ = 0;
  std::optional<FileLook> known_;  // the file as the last transaction left it
  std::optional<FileStamp> entry_;
  std::optional<FileStamp> left_;
  bool foreign_ = false;
  Use use_ = Use::kKept;
  std::optional<Unexplained> unexplained_;
  bool still_ = false;                                // Keep()
  bool stands_ = false;                               // Begin() waits for its end
  std::chrono::steady_clock::time_point waits_from_;  // Begin() does not wait before that
  bool gave_up_ = false;  // waiting was in vain; not again before the queue was taken
  uint64_t begun_ = 0;
  uint64_t ended_ = 0;
  uint64_t epoch_ = 0;  // another value: known_ is about another moment
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_HANDOVER_H_
