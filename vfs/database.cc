#include "vfs/database.h"

#include <strings.h>

#include <exception>
#include <memory>
#include <new>
#include <utility>

#include "vfs/headroom.h"
#include "vfs/json_line.h"
#include "vfs/process.h"
#include "vfs/wal_index.h"
#include "vfs/wal_reset_bug.h"

namespace backstay {
namespace {

constexpr int kFinishWalMs = 2000;
constexpr size_t kErrorBytes = 1024;
constexpr const char* kGaveBack =
    "the application ran out of file descriptors or memory, so that Backstay has given back its "
    "own; this database is not replicated until there is room (asked at each commit)";

// What BackstayHost's ctx points to. Freed by release().
struct HostContext {
  HostContext(Process* of, Database* is) : process(of), database(is) {}
  ~HostContext() {
    if (file != nullptr) process->files()->Give(file);
  }
  HostContext(const HostContext&) = delete;
  HostContext& operator=(const HostContext&) = delete;

  Process* const process;
  Database* const database;
  HostFile* file = nullptr;
  std::atomic<BackstayDb*> db = nullptr;  // none before open() has returned
};

HostContext* Context(void* ctx) { return static_cast<HostContext*>(ctx); }

int64_t HostRead(void* ctx, void* buf, int64_t n, int64_t ofst) {
  return Context(ctx)->file->Read(buf, n, ofst);
}

int64_t HostSize(void* ctx) { return Context(ctx)->file->Size(); }

int HostWalPosition(void* ctx, BackstayWalPosition* pos) {
  return Context(ctx)->database->HostPosition(pos);
}

uint64_t HostWriting(void* ctx) { return Context(ctx)->database->writing(); }

int HostUntold(void* ctx) { return Context(ctx)->database->hides_write(Context(ctx)->db) ? 1 : 0; }

int HostInUse(void* ctx) { return Context(ctx)->database->connections() > 0 ? 1 : 0; }

void HostRelease(void* ctx) {
  std::unique_ptr<HostContext> context(Context(ctx));
  // In a forked child the handle and the counts are the parent's business.
  if (context->process != Process::Current()) {
    static_cast<void>(context.release());
    return;
  }
  Process* process = context->process;
  Database* database = context->database;
  context.reset();
  process->Release(database);
}

}  // namespace

Database::Database(Process* process, DatabaseOptions options)
    : process_(process), options_(std::move(options)) {
  process_->files()->Opened(id(), copy());
}

Database::~Database() { process_->files()->Closed(id(), copy()); }

void Database::EnsureEngine() noexcept {
  if (db() != nullptr) return;
  std::lock_guard lock(open_mutex_);
  if (tried_) return SayRefusal();
  tried_ = true;
  starved_ = false;
  refused_ = false;
  try {
    OpenEngine();
  } catch (const std::exception&) {
    starved_ = true;
    error_ = "out of memory";  // needs none
    process_->Say(Repeat::kWhileItLasts, BACKSTAY_ERROR, path(),
                  "out of memory or file descriptors; this database is not replicated until "
                  "there are some");
  }
  tried_ = !starved_;
}

void Database::RetryEngine() noexcept {
  if (starved_.load(std::memory_order_relaxed)) return EnsureEngine();
  if (!refused_.load(std::memory_order_relaxed)) return;
  std::lock_guard lock(open_mutex_);
  SayRefusal();
}

void Database::CheckEngine() noexcept {
  BackstayDb* held = db();
  if (held == nullptr || engine_.load()->holds(held) == 1) return;
  std::lock_guard lock(open_mutex_);
  if (db() != held) return;
  try {
    let_go_.push_back(held);
  } catch (const std::exception&) {
    return;  // until the next commit
  }
  db_ = nullptr;
  tried_ = false;
  starved_ = true;
}

void Database::GaveBack() noexcept {
  CheckEngine();
  std::lock_guard lock(open_mutex_);
  if (!starved_) return;
  try {
    Refused(BACKSTAY_WARN, error_ = kGaveBack);
  } catch (const std::exception&) {
    // It is said when the engine is asked the next time.
  }
}

void Database::OpenEngine() {
  const std::string lack = Lack();
  if (!lack.empty()) {
    starved_ = true;
    if (refusal_ == kGaveBack) return Refused(BACKSTAY_WARN, error_ = kGaveBack);
    error_ = lack + "; this database is not replicated until there is room (asked at each commit)";
    return Refused(BACKSTAY_WARN, error_);
  }
  const BackstayEngine* engine = process_->Engine(&error_);
  if (engine == nullptr) {
    if (error_.empty()) throw std::bad_alloc();
    return Failed(error_);
  }
  auto context = std::make_unique<HostContext>(process_, this);
  bool moved = false;
  HostFile* file = process_->files()->Take(options_.inner, path(), id(), &moved);
  if (moved) return Failed("the database file was replaced while it was being opened");
  if (file == nullptr) {
    starved_ = true;
    return Failed("cannot open the database a second time to read it (tried again at each commit)");
  }
  context->file = file;

  std::vector<const char*> params;
  for (const auto& [name, value] : options_.parameters) {
    params.push_back(name.c_str());
    params.push_back(value.c_str());
  }
  const std::string* url = FindParameter(options_.parameters, "replica");
  BackstayOpen open = {};
  open.path = path().c_str();
  open.device = id().first;
  open.inode = id().second;
  open.replica_url = url != nullptr ? url->c_str() : nullptr;
  open.params = params.data();
  open.nparam = static_cast<int>(params.size() / 2);
  open.host = {context.get(), HostRead,    HostSize,   HostWalPosition,
               HostInUse,     HostWriting, HostUntold, HostRelease};

  char error[kErrorBytes] = "";
  BackstayDb* opened = nullptr;
  process_->Retain(this);
  if (engine->open(&open, &opened, error, sizeof error) != 0) {
    process_->Release(this);
    if (error[0] == '\0') throw std::bad_alloc();
    return Failed(error);
  }
  context.release()->db = opened;
  engine_.store(engine, std::memory_order_release);
  db_.store(opened, std::memory_order_release);
  error_.clear();
  if (!refusal_.empty()) process_->Unsay(path(), refusal_);
  refusal_.clear();
  const int version = copy()->version;
  if (HasWalResetBug(version)) {
    process_->Say(Repeat::kNever, BACKSTAY_INFO, {}, DescribeWalResetBug(version));
  }
}

void Database::Failed(const std::string& message) {
  error_ = message;
  Refused(BACKSTAY_ERROR, message + "; this database is not replicated");
}

void Database::Refused(int level, std::string line) {
  refusal_ = std::move(line);
  refusal_level_ = level;
  refused_ = true;
  SayRefusal();
}

void Database::SayRefusal() noexcept {
  if (!refused_) return;
  process_->Say(Repeat::kWhileItLasts, refusal_level_, path(), refusal_);
}

Closing Database::CloseEngine() noexcept {
  std::lock_guard lock(open_mutex_);
  for (BackstayDb* past : let_go_) {
    engine_.load()->close(past);
    engine_.load()->closed(past);
  }
  let_go_.clear();
  BackstayDb* opened = db_.exchange(nullptr);
  if (opened == nullptr) return {};
  engine_.load()->close(opened);
  return {engine_.load(), opened};
}

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
  CheckEngine();
  RetryEngine();
  BackstayDb* to = db();
  return to != nullptr && engine_.load()->sync(to, timeout_ms) == 1;
}

}  // namespace backstay
