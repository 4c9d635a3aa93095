// Neighbours: the other processes that use the same database with the same state folder. One of
// them ships, the others tell it what they commit and ask it what is in the replica.
//
// Owned by Core. Committed() and Changed() are called inside the host's commit: a few atomic
// operations, and one system call if somebody sleeps. Sync() and Finish() block their caller, at
// most the time given. Lead() and Follow() are called by the capture thread, which holds the
// folder's lock or does not get it. Only the one that leads has a thread, which sleeps until a
// neighbour wakes it. No errors: without the shared page (logged) a wait is in vain.

#ifndef BACKSTAY_UPLOADER_ENGINE_NEIGHBOURS_H_
#define BACKSTAY_UPLOADER_ENGINE_NEIGHBOURS_H_

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "uploader/base/clock.h"
#include "uploader/base/log.h"
#include "uploader/base/thread.h"
#include "uploader/engine/note_board.h"
#include "uploader/state/shared_page.h"

namespace backstay {

class Neighbours {
 public:
  struct Options {
    std::string folder;       // state folder of the pipeline
    uint32_t replica = 0;     // names it and the database file; answers about others do not count
    int64_t patience_ms = 0;  // a neighbour's wait is not worth a hurry after this
    NoteBoard* board = nullptr;
    Clock* clock = nullptr;
    std::function<void(Level level, const std::string& message)> log;
    std::function<void(const std::string& message)> recovered = [](const std::string&) {};
  };
  explicit Neighbours(Options options) : options_(std::move(options)) {}
  ~Neighbours() { Stop(/*holds=*/false); }

  // Application threads. A commit in WAL mode, noted on the board first.
  void Committed(const WalTarget& target);
  // One in a rollback-journal mode.
  void Changed();
  // Sync() and Finish() of the board, of whichever process ships.
  bool Sync(int64_t timeout_ms, bool impatient = false);
  bool Finish(int64_t timeout_ms, bool commit_waits = false);
  // What every Sync() so far has waited for, in vain or not, is shipped.
  bool AllShipped();
  // What was committed here is known to be shipped by another process. Asks it if need be; the
  // answer shows in a later call. Of no meaning where this process ships.
  bool Settled();
  // The process that ships has stopped for good.
  bool gave_up();
  // It has, or ships another file that lay at the path, or to another replica.
  bool ShipsOther();
  // Some of what was committed here is not known to be shipped.
  bool Owes() const { return commits_ != settled_; }
  // Why a wait in a process that does not ship was in vain.
  std::string Problem();

  // This process is the one that ships.
  bool leads() const { return role_ == Role::kLeads; }
  // None can be, as far as known: the lock can be neither had nor found taken.
  bool alone() const { return role_ == Role::kAlone; }

  // Capture thread. This process ships from now on.
  void Lead();
  // While it does: makes up for a page that somebody has removed, or a thread that could not be
  // started.
  void Attend();
  // Another one does; again whenever the lock was tried in vain.
  void Follow();
  // There is no telling: the lock can be neither had nor found taken.
  void Alone();
  // The one that shipped has ended in good order or shows no page, and nobody else is known to ship
  // yet.
  bool Orphaned();

  // Waits end, without waiting for them.
  void RequestStop();
  // `holds`: this process has the folder's lock still, so that the page in it is its own.
  void Stop(bool holds);
  bool over() const { return listener_.over(); }
  // Behind Stop(): no page is held any more.
  void LetGo() { Become(Role::kAlone, nullptr); }

 private:
  enum class Role { kUnknown, kAlone, kFollows, kLeads };
  using PagePtr = std::shared_ptr<SharedPage>;
  // A ticket, the page that it is of, and the commits it was asked after.
  struct Question {
    PagePtr page;
    SharedPage::Ticket ticket;
    uint64_t commits = 0;
  };

  bool SyncByRole(int64_t timeout_ms, bool impatient);
  PagePtr OpenPage(bool holder);
  PagePtr MakePage();
  void RenewPage();
  void Become(Role role, PagePtr page);
  PagePtr Page();
  Role RoleBy(int64_t deadline_ms);
  bool Foreign(uint64_t holder) const;
  void Ask(const PagePtr& page, Question* question) const;
  bool AskAround(Question* question, int64_t ms);
  bool Pause(int64_t ms, const PagePtr& page);
  void TryLock(bool at_once);
  bool HasLeft();
  void AwaitHeir(int64_t deadline_ms);
  void Listen(const PagePtr& page);
  void Heed(SharedPage* page);

  const Options options_;
  std::atomic<Role> role_{Role::kUnknown};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable changed_;          // the role, or stop_
  PagePtr page_;                             // guarded by mutex_
  Question last_;                            // guarded by mutex_; the last one of a Sync()
  std::atomic<uint64_t> commits_{0};         // told here so far
  std::atomic<uint64_t> settled_{0};         // commits_ that the replica is known to have
  std::atomic<int64_t> tried_ms_{0};         // monotonic; when a wait last asked for the lock
  std::string failure_;                      // why there is no page; capture thread
  int64_t missing_since_ms_ = 0;             // nobody has one; monotonic, capture thread
  std::atomic<uint64_t> unread_{0};          // the ticket of the last Finish() in vain; 0: none
  bool attended_ = true;                     // as far as was said; capture thread
  uint64_t heard_[SharedPage::kLanes] = {};  // tickets passed to the board; listener
  Thread listener_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_NEIGHBOURS_H_
