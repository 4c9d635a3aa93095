#include "vfs/database.h"

#include <strings.h>

#include <exception>
#include <memory>
#include <new>
#include <utility>

#include "vfs/json_line.h"
#include "vfs/process.h"
#include "vfs/wal_index.h"
#include "vfs/wal_reset_bug.h"

namespace backstay {
namespace {

constexpr int kFinishWalMs = 2000;

}  // namespace

Database::Database(Process* process, DatabaseOptions options)
    : process_(process), options_(std::move(options)) {
  process_->files()->Opened(id(), copy());
}

Database::~Database() { process_->files()->Closed(id(), copy()); }

void Database::WriteLocked() noexcept {
  static std::atomic<uint64_t> last = 0;
  writing_ = ++last;
}

void Database::AddIndex(MappedIndex* index) noexcept {
  std::lock_guard lock(index_mutex_);
  index->next = indexes_;
  indexes_ = index;
}

void Database::RemoveIndex(MappedIndex* index) noexcept {
  std::lock_guard lock(index_mutex_);
  MappedIndex** place = &indexes_;
  while (*place != nullptr && *place != index) place = &(*place)->next;
  if (*place != nullptr) *place = index->next;
}

int Database::HostPosition(BackstayWalPosition* position) noexcept {
  std::lock_guard lock(index_mutex_);
  return indexes_ != nullptr && ReadWalIndex(indexes_->shm, position) ? 1 : 0;
}

void Database::NoteIndex(const volatile void* shm) noexcept {
  BackstayDb* to = db();
  if (to == nullptr || WalIndexFingerprint(shm) == noted_.load(std::memory_order_relaxed)) return;
  std::lock_guard lock(note_mutex_);
  BackstayWalPosition position;
  const uint64_t fingerprint = WalIndexFingerprint(shm);
  if (fingerprint == noted_.load(std::memory_order_relaxed)) return;
  if (!ReadWalIndex(shm, &position)) return;
  noted_.store(fingerprint, std::memory_order_relaxed);
  const std::optional<uint32_t> told = std::exchange(change_, position.change);
  // A restarted WAL without a frame: the old frames are still in the file, and FinishWal() comes
  // before they are overwritten. Those of others may be gone.
  if (position.max_frame == 0 && (!told || *told == position.change)) return;
  if (position.max_frame != 0) frames_ = position.max_frame;
  engine_.load()->committed(to, &position);
}

void Database::NoteCommitFrame(const BackstayWalPosition& position) noexcept {
  std::lock_guard lock(note_mutex_);
  commit_frame_ = position;
  commit_frame_set_ = true;
}

void Database::ForgetCommitFrame() noexcept {
  std::lock_guard lock(note_mutex_);
  commit_frame_set_ = false;
}

void Database::CommitDone(const volatile void* shm) noexcept {
  if (db() == nullptr) return;
  if (shm != nullptr) NoteIndex(shm);
  {
    std::lock_guard lock(note_mutex_);
    const bool exclusive = commit_frame_set_ && shm == nullptr;
    commit_frame_set_ = false;
    if (BackstayDb* to = exclusive ? db() : nullptr) {
      frames_ = commit_frame_.max_frame;
      engine_.load()->committed(to, &commit_frame_);
    }
  }
  WaitForBucket();
}

void Database::WaitForBucket() noexcept {
  BackstayDb* to = db();
  if (to == nullptr || engine_.load()->is_sync(to) != 1) return;
  static_cast<void>(engine_.load()->sync(to, BACKSTAY_SYNC_COMMIT));
}

void Database::BeforeCheckpoint() noexcept {
  if (BackstayDb* to = db()) engine_.load()->checkpoint(to);
}

void Database::AddCheckpointer() noexcept {
  const bool two = checkpointers_.fetch_add(1) > 0;
  if (!two || !HasWalResetBug(copy()->version)) return;
  try {
    process_->Say(
        Repeat::kNever, BACKSTAY_WARN, path(),
        "two connections of this process checkpoint: " + DescribeWalResetBug(copy()->version));
  } catch (const std::exception&) {
    // A log line is not worth more.
  }
}

bool Database::Writing() noexcept {
  BackstayDb* to = db();
  told_.Begin(engine_.load(), to);
  return to != nullptr;
}

void Database::Written(const PageWrites::Pages& pages, bool committed) noexcept {
  const bool told = told_.End(engine_.load(), pages, committed);
  if (told && committed && journal_off_.load()) WarnJournalOff();
}

void Database::JournalMode(const char* mode) noexcept {
  journal_off_ = strcasecmp(mode, "off") == 0;
}

void Database::WarnJournalOff() noexcept {
  try {
    process_->Say(Repeat::kNever, BACKSTAY_WARN, path(),
                  "the rollback journal is off: commits are replicated, but a crash of the "
                  "application in the middle of one can lose the local database; remedy: "
                  "PRAGMA journal_mode=DELETE or WAL");
  } catch (const std::exception&) {
    // A log line is not worth more.
  }
}

void Database::FinishWal(bool commit_waits) noexcept {
  if (BackstayDb* to = db()) (void)engine_.load()->finish_wal(to, kFinishWalMs, commit_waits);
}

void Database::RestartWal() noexcept {
  FinishWal(/*commit_waits=*/true);
  std::lock_guard lock(note_mutex_);
  frames_ = 0;
}

void Database::WalGone() noexcept {
  std::lock_guard lock(note_mutex_);
  frames_ = 0;
  if (BackstayDb* to = db()) engine_.load()->wal_gone(to);
}

uint32_t Database::noted_frames() noexcept {
  std::lock_guard lock(note_mutex_);
  return frames_;
}

void Database::WarnUnreadable() noexcept {
  if (unreadable_.exchange(true)) return;
  try {
    // The engine writes the line in the configured form; a broken configuration is its to report.
    std::string error;
    static_cast<void>(process_->Engine(&error));
    if (process_->selection().broken()) return EnsureEngine();
    std::lock_guard lock(open_mutex_);
    Refused(BACKSTAY_WARN,
            "the database header is not SQLite's (is the database encrypted?), so that "
            "only WAL mode can be replicated; remedy: PRAGMA journal_mode=WAL");
  } catch (const std::exception&) {
    // The status says it too.
  }
}

std::string Database::Status() {
  BackstayDb* of = db();
  if (of == nullptr) {
    std::lock_guard lock(open_mutex_);
    if (!error_.empty()) return JsonLine({{"state", "error"}, {"error", error_}, {"db", path()}});
    const char* reason = unreadable_.load() ? "header not readable; remedy: PRAGMA journal_mode=WAL"
                                            : "nothing was read or written yet";
    return JsonLine({{"state", "off"}, {"reason", reason}, {"db", path()}});
  }
  const BackstayEngine* engine = engine_.load();
  char* text = engine->status(of);
  if (text == nullptr) throw std::bad_alloc();
  std::unique_ptr<char, void (*)(char*)> owner(text, engine->free_text);
  return text;
}

bool Database::Sync(int timeout_ms) noexcept {
  EnsureHeld();
  RetryEngine();
  BackstayDb* to = db();
  return to != nullptr && engine_.load()->sync(to, timeout_ms) == 1;
}

}  // namespace backstay
