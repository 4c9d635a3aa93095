// Database, the part that has the engine and loses it again: what it is asked, and what is said
// where it does not replicate.

#include <chrono>
#include <exception>
#include <memory>
#include <new>
#include <utility>

#include "vfs/database.h"
#include "vfs/headroom.h"
#include "vfs/process.h"
#include "vfs/wal_reset_bug.h"

namespace backstay {
namespace {

constexpr size_t kErrorBytes = 1024;
// Something in the process may close the descriptors again and again.
constexpr auto kAskInterval = std::chrono::seconds(10);

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

void HostLetGo(void* ctx) {
  HostContext* context = Context(ctx);
  // A forked child opens it by itself.
  if (context->process != Process::Current()) return;
  context->database->LetGo(context->db);
}

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

void Database::EnsureEngine() noexcept {
  if (db() != nullptr) return;
  std::lock_guard lock(open_mutex_);
  OpenOnce();
}

void Database::OpenOnce() noexcept {
  if (db() != nullptr) return;
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

bool Database::IsLetGo(bool look) noexcept {
  BackstayDb* held = db();
  if (held == nullptr || engine_.load()->holds(held, look ? 1 : 0) == 1) return false;
  std::lock_guard lock(open_mutex_);
  return db() != held || TakeAwayLocked(held);
}

bool Database::TakeAwayLocked(BackstayDb* held) noexcept {
  try {
    let_go_.push_back(held);
  } catch (const std::exception&) {
    return false;  // until the next commit
  }
  db_ = nullptr;
  tried_ = false;
  starved_ = true;
  return true;
}

void Database::EnsureHeld() noexcept {
  if (IsLetGo(/*look=*/true)) EnsureEngine();
}

void Database::LetGo(BackstayDb* held) noexcept {
  CheckEngine();
  std::lock_guard lock(open_mutex_);
  // Behind the last close nobody would close what is opened here.
  if (connections() == 0 || let_go_.empty() || let_go_.back() != held || db() != nullptr) return;
  if (!copy()->threadsafe) return;
  const auto now = std::chrono::steady_clock::now();
  const bool again = asked_ && now - *asked_ < kAskInterval;
  // What was given back has another reason, and is told by itself.
  if (again && !process_->shortage().Lasts()) return LostAgain();
  asked_ = now;
  OpenOnce();
}

void Database::LostAgain() noexcept {
  try {
    Refused(BACKSTAY_WARN,
            error_ =
                "the application closes Backstay's descriptors again and again; this database "
                "is replicated again with its next commit");
  } catch (const std::exception&) {
    // The next commit asks anyway.
  }
}

void Database::GaveBack() noexcept {
  CheckEngine();
  std::lock_guard lock(open_mutex_);
  if (!starved_) return;
  try {
    Refused(BACKSTAY_WARN, error_ = process_->shortage().Line());
  } catch (const std::exception&) {
    // It is said when the engine is asked the next time.
  }
}

bool Database::LacksRoom() {
  const std::string gave_back = process_->shortage().Line();
  std::string why = gave_back;
  if (!process_->shortage().Lasts()) {
    why = Lack();
    if (why.empty()) return false;
    why += "; this database is not replicated until there is room (asked at each commit)";
    // What was given back and is lacking still is one matter.
    if (!gave_back.empty() && refusal_ == gave_back) why = gave_back;
  }
  starved_ = true;
  error_ = why;
  Refused(BACKSTAY_WARN, std::move(why));
  return true;
}

void Database::OpenEngine() {
  if (LacksRoom()) return;
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
  open.host = {context.get(), HostRead,   HostSize,  HostWalPosition, HostInUse,
               HostWriting,   HostUntold, HostLetGo, HostRelease};

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

}  // namespace backstay
