// Database: one replicated database file in this process, between the shim's files and the engine.
//
// Owned by Process, which counts its users (open files, the engine's host context); every method
// may be called on any application thread that is such a user, HostXxx() on the engine's threads.
// Nothing throws and nothing fails towards SQLite: without an engine all calls do nothing.

#ifndef BACKSTAY_VFS_DATABASE_H_
#define BACKSTAY_VFS_DATABASE_H_

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "uploader/engine_api.h"
#include "vfs/file_name.h"
#include "vfs/host_files.h"
#include "vfs/page_writes.h"
#include "vfs/told_write.h"

namespace backstay {

class Process;

// Behind the last close of a database: what was committed in it may still be on its way.
class Closing {
 public:
  Closing() = default;
  Closing(const BackstayEngine* engine, BackstayDb* db) noexcept : engine_(engine), db_(db) {}

  // Once, with no lock of the database held. Blocks at most the configured close timeout.
  void Wait() const noexcept {
    if (db_ != nullptr) engine_->closed(db_);
  }

 private:
  const BackstayEngine* engine_ = nullptr;
  BackstayDb* db_ = nullptr;
};

struct DatabaseOptions {
  std::string path;          // absolute, as SQLite names it
  UriParameters parameters;  // of the connection that opened it first
  FileId id;
  InnerVfs inner;
};

// The wal-index that a connection has mapped. In a list, so that noting it needs no memory.
struct MappedIndex {
  const volatile void* shm;  // region 0; NULL while it is not mapped
  MappedIndex* next;
};

class Database {
 public:
  Database(Process* process, DatabaseOptions options);
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  const std::string& path() const { return options_.path; }
  const FileId& id() const { return options_.id; }
  const SqliteCopy* copy() const { return options_.inner.copy; }

  // Asks the engine to replicate, once. REQUIRES: none of our mutexes is held.
  void EnsureEngine() noexcept;
  // Again, if memory or file descriptors ran out then. Otherwise says again why it refused.
  void RetryEngine() noexcept;
  // Finds out whether the engine has let go of the database: then it is asked anew, as above.
  void CheckEngine() noexcept { (void)IsLetGo(/*look=*/false); }
  // The same, and looks first whether the application has closed the engine's descriptors.
  void EnsureHeld() noexcept;
  // It has, of this handle, and has told so: asks it anew while a connection is there, once in 10 s
  // and where SQLite may be called on an engine's thread, which this is; else the next commit does.
  void LetGo(BackstayDb* held) noexcept;
  // It has, for the sake of the application, which is told so.
  void GaveBack() noexcept;
  // The last connection goes: hands the database back. Later calls do nothing.
  [[nodiscard]] Closing CloseEngine() noexcept;

  // A connection of this process keeps others from writing, or is about to let them again.
  void WriteLocked() noexcept;
  void WriteUnlocked() noexcept { writing_ = 0; }
  // The number of that transaction, unlike any other of this process; 0: there is none.
  uint64_t writing() const noexcept { return writing_; }

  // A wal-index was mapped or is about to be unmapped.
  void AddIndex(MappedIndex* index) noexcept;
  void RemoveIndex(MappedIndex* index) noexcept;
  // Tells the engine if the wal-index has moved since the last call. REQUIRES: shm stays mapped.
  void NoteIndex(const volatile void* shm) noexcept;

  // A commit frame was written; it counts once the transaction is through...
  void NoteCommitFrame(const BackstayWalPosition& position) noexcept;
  // ... which it will not be if the WAL could not be written or synced.
  void ForgetCommitFrame() noexcept;
  // The transaction is through. `shm`: the connection's wal-index, NULL in EXCLUSIVE locking mode.
  void CommitDone(const volatile void* shm) noexcept;

  // A checkpoint is about to overwrite pages of the database file; blocks at most 20 ms, the first
  // time 2 s.
  void BeforeCheckpoint() noexcept;
  // A connection that checkpoints, for the first time and until it closes: with the WAL-reset bug
  // two of them are told of.
  void AddCheckpointer() noexcept;
  void RemoveCheckpointer() noexcept { checkpointers_.fetch_sub(1); }
  // In a rollback-journal mode: before the first write of a transaction, and at its end, of which
  // the same handle is told. False: there is none.
  bool Writing() noexcept;
  void Written(const PageWrites::Pages& pages, bool committed) noexcept;
  // A transaction writes to the file of which this handle was not told.
  bool hides_write(const BackstayDb* from) const noexcept { return told_.HiddenFrom(from); }
  // With durability=sync: waits for the replica, at most the configured time.
  void WaitForBucket() noexcept;
  // An application asked for this journal mode.
  void JournalMode(const char* mode) noexcept;

  // The WAL's content is about to be destroyed, by a commit that waits meanwhile or for other
  // reasons; blocks at most 2 s.
  void FinishWal(bool commit_waits = false) noexcept;
  // The same, because a new header is about to start a generation of frames.
  void RestartWal() noexcept;
  void WalGone() noexcept;
  // Committed frames of the WAL's generation as of the last note.
  uint32_t noted_frames() noexcept;

  void WalOpened() noexcept { wals_.fetch_add(1); }
  void WalClosed() noexcept { wals_.fetch_sub(1); }
  bool wal_open() const noexcept { return wals_.load() > 0; }
  bool replicated() const noexcept { return db() != nullptr; }
  // Says once that the database header is not SQLite's, so that nothing is replicated without a
  // WAL.
  void WarnUnreadable() noexcept;
  int connections() const noexcept { return connections_.load(); }

  // JSON text of backstay_status().
  std::string Status();
  bool Sync(int timeout_ms) noexcept;

  int HostPosition(BackstayWalPosition* position) noexcept;

 private:
  friend class Process;

  // It has let go. `look`: it finds out first whether the application has closed its descriptors.
  bool IsLetGo(bool look) noexcept;
  // With open_mutex_ held; so the next.
  void OpenOnce() noexcept;
  bool TakeAwayLocked(BackstayDb* held) noexcept;
  void LostAgain() noexcept;
  void OpenEngine();
  // There is no room for the engine, or none of it is to be taken for the moment; that is told.
  bool LacksRoom();
  void Refused(int level, std::string line);
  void Failed(const std::string& message);
  void SayRefusal() noexcept;
  void WarnJournalOff() noexcept;
  // To be read once by a call: another thread may take it away, and what was read stays valid until
  // CloseEngine().
  BackstayDb* db() const noexcept { return db_.load(std::memory_order_acquire); }

  Process* const process_;
  const DatabaseOptions options_;

  // Counts of Process. Connections (and open WALs, whose connection may be none of ours) change
  // under its mutex; a database that is in its map has one.
  std::atomic<int> users_ = 0;
  std::atomic<int> connections_ = 0;

  std::atomic<const BackstayEngine*> engine_ = nullptr;
  std::atomic<BackstayDb*> db_ = nullptr;  // set after engine_
  std::mutex open_mutex_;
  bool tried_ = false;  // guarded by open_mutex_
  // When it was last asked anew without a commit; guarded by open_mutex_.
  std::optional<std::chrono::steady_clock::time_point> asked_;
  // What the engine has let go of, and other threads may be using; guarded by open_mutex_.
  std::vector<BackstayDb*> let_go_;
  std::string error_;  // guarded by open_mutex_
  // What the log says of it, at which level; guarded by open_mutex_, and empty while replicated.
  std::string refusal_;
  int refusal_level_ = 0;

  // Positions are read and told under this mutex, so that the engine never sees one go back.
  std::mutex note_mutex_;
  std::atomic<uint64_t> noted_ = 0;        // fingerprint; written under note_mutex_
  uint32_t frames_ = 0;                    // guarded by note_mutex_
  std::optional<uint32_t> change_;         // of the last position; guarded by note_mutex_
  BackstayWalPosition commit_frame_ = {};  // guarded by note_mutex_
  bool commit_frame_set_ = false;          // guarded by note_mutex_

  // Never held while the engine is called: the engine's threads take it.
  std::mutex index_mutex_;
  MappedIndex* indexes_ = nullptr;  // guarded by index_mutex_; one per connection, the newest first

  std::atomic<bool> starved_ = false;  // the engine is to be asked again; written under open_mutex_
  std::atomic<bool> refused_ = false;  // refusal_ is set; written under open_mutex_
  std::atomic<int> wals_ = 0;
  std::atomic<uint64_t> writing_ = 0;
  ToldWrite told_;
  std::atomic<int> checkpointers_ = 0;
  std::atomic<bool> unreadable_ = false;
  std::atomic<bool> journal_off_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_DATABASE_H_
