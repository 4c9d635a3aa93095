#include "vfs/process.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <exception>
#include <vector>

#include "vfs/quiet_checks.h"

namespace backstay {
namespace {

std::atomic<Process*> current = nullptr;
std::atomic<bool> exit_handler = false;  // inherited by children, as the handler itself is

// Runs before the engine's static destructors: it was registered after they were.
void DrainAtExit() {
  Process* process = Process::Current();
  const BackstayEngine* engine = process != nullptr ? process->loader().loaded() : nullptr;
  if (engine == nullptr) return;
  process->files()->Leave();
  engine->drain();
}

std::string Line(std::string_view path, std::string_view message) {
  return std::string(path) + '\n' + std::string(message);
}

}  // namespace

Process* Process::Current() noexcept { return current.load(std::memory_order_acquire); }

void Process::Start(const SelectionOptions& options, const std::string& folder) {
  if (Current() != nullptr) return;
  auto* process = new Process(std::make_shared<Selection>(options), folder);
  Process* expected = nullptr;
  if (!current.compare_exchange_strong(expected, process)) {
    delete process;
    return;
  }
  pthread_atfork(nullptr, nullptr, &AfterForkInChild);
}

void Process::AfterForkInChild() noexcept {
  Process* parent = Current();
  if (parent == nullptr) return;
  QuietChecks::AfterForkInChild();
  const BackstayEngine* engine = parent->loader_.loaded();
  if (engine != nullptr) engine->forked();
  Process* child = nullptr;
  try {
    child = new Process(parent->selection_, parent->loader_.folder());
  } catch (const std::exception&) {
    // Without a Process every file passes through.
  }
  current.store(child, std::memory_order_release);
}

const BackstayEngine* Process::Engine(std::string* error) {
  const bool first = loader_.loaded() == nullptr;
  const BackstayEngine* engine = loader_.Load(error);
  if (engine != nullptr && first && !exit_handler.exchange(true)) std::atexit(&DrainAtExit);
  return engine;
}

Database* Process::Attach(DatabaseOptions options) {
  const std::string path = options.path;
  {
    std::lock_guard lock(mutex_);
    auto it = databases_.find(path);
    if (it == databases_.end()) {
      auto database = std::make_unique<Database>(this, std::move(options));
      it = databases_.emplace(path, database.get()).first;
      static_cast<void>(database.release());
    } else if (it->second->copy() != options.inner.copy || it->second->id() != options.id) {
      it = databases_.end();
    }
    if (it != databases_.end()) {
      it->second->users_++;
      it->second->connections_++;
      return it->second;
    }
  }
  Say(Repeat::kWhileItLasts, BACKSTAY_WARN, path,
      "a second copy of SQLite, or a new file under the same name, was opened while the "
      "database is in use; this connection is not replicated; close all connections first");
  return nullptr;
}

Closing Process::Detach(Database* database) noexcept {
  // What was committed last is shipped, too. Without the mutex: opening takes time.
  if (database->connections_ == 1) database->EnsureHeld();
  Closing closing;
  {
    // Under the mutex, so that the engine sees this close before the open of a connection that
    // comes now.
    std::lock_guard lock(mutex_);
    if (--database->connections_ == 0) {
      databases_.erase(database->path());
      closing = database->CloseEngine();
    }
  }
  Release(database);
  return closing;
}

Database* Process::Use(const std::string& path, const SqliteCopy* copy) noexcept {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return nullptr;
  std::lock_guard lock(mutex_);
  auto it = databases_.find(path);
  if (it == databases_.end() || it->second->copy() != copy) return nullptr;
  if (it->second->id() != FileId(info.st_dev, info.st_ino)) return nullptr;
  it->second->users_++;
  it->second->connections_++;
  return it->second;
}

void Process::Retain(Database* database) noexcept { database->users_++; }

void Process::Release(Database* database) noexcept {
  if (--database->users_ == 0) delete database;
}

bool Process::GiveBack(Shortage::What what) noexcept {
  const BackstayEngine* engine = loader_.loaded();
  if (engine == nullptr) return false;
  // First: a commit on another thread would take it all again.
  const int64_t before = shortage_.Begin(what);
  if (engine->give_back() == 0) return shortage_.Cancel(before), false;
  try {
    std::vector<Database*> open;
    {
      std::lock_guard lock(mutex_);
      open.reserve(databases_.size());
      for (const auto& [path, database] : databases_) {
        database->users_++;
        open.push_back(database);
      }
    }
    for (Database* database : open) {
      database->GaveBack();
      Release(database);
    }
  } catch (const std::exception&) {
    // Each finds out at its next commit.
  }
  return true;
}

void Process::WriteLine(int level, std::string_view path, std::string_view message) {
  const BackstayEngine* engine = loader_.loaded();
  if (engine == nullptr) return own_log_.Write(level, path, message);
  const std::string database(path);
  const std::string text(message);
  engine->log(level, path.empty() ? nullptr : database.c_str(), text.c_str());
}

void Process::Say(Repeat repeat, int level, std::string_view path,
                  std::string_view message) noexcept {
  try {
    const std::string line = Line(path, message);
    std::lock_guard lock(said_mutex_);
    if (!said_.Due(line, repeat)) return;
    WriteLine(level, path, message);
    // Behind it: what could not be said is said the next time.
    said_.Told(line);
  } catch (const std::exception&) {
    // A log line is not worth more.
  }
}

void Process::Unsay(std::string_view path, std::string_view message) noexcept {
  try {
    const std::string line = Line(path, message);
    std::lock_guard lock(said_mutex_);
    said_.Forget(line);
  } catch (const std::exception&) {
    // It is said again an hour later at the most.
  }
}

// Whichever database it is: the state of the process is what is told. A program for which nothing
// is set may not be meant.
void Process::OpenedUnselected(const char* path) noexcept {
  try {
    const bool selected = selected_.load();
    const bool unset = selection_->unset();
    const std::string line = selected ? "missing" : "selection";
    std::lock_guard lock(said_mutex_);
    if (!said_.Due(line, unset ? Repeat::kNever : Repeat::kWhileItLasts)) return;
    const std::string why = selected ? selection_->Missing() : selection_->WhyNothing();
    if (!why.empty()) {
      WriteLine(unset ? BACKSTAY_INFO : BACKSTAY_WARN, path,
                (selected ? "another database is configured, and not this one: "
                          : "no database of this process is replicated: ") +
                    why);
    }
    said_.Told(line);
  } catch (const std::exception&) {
    // The next one is told.
  }
}

}  // namespace backstay
