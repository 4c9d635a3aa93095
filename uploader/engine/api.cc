// The C boundary of libbackstay_engine.so: engine_api.h. Every function is a firewall; nothing
// throws through it.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "uploader/base/caught.h"
#include "uploader/engine/engine.h"
#include "uploader/engine_api.h"

namespace backstay {
namespace {

// The one engine of this process. Made when it is first needed and leaked on purpose: its threads
// may run until the very end. A forked child starts with none.
std::atomic<Engine*>& Slot() {
  static std::atomic<Engine*> slot{nullptr};
  return slot;
}

// What start() was told, also for the engines of forked children. Leaked likewise.
std::atomic<const std::vector<std::string>*> environment{nullptr};

SettingsSources Sources() {
  const std::vector<std::string>* told = environment.load();
  return told != nullptr ? SourcesOf(*told) : ProcessSources();
}

Engine* TheEngine() {
  Engine* engine = Slot().load();
  if (engine != nullptr) return engine;
  auto* made = new Engine(Sources());
  if (Slot().compare_exchange_strong(engine, made)) return made;
  delete made;  // another thread was first
  return engine;
}

// What the language keeps for each thread lies in the block that a thread begins with, since one
// variable of this library is asked for there (glibc, DF_STATIC_TLS). Otherwise the dynamic linker
// makes it at first use, and ends the process where there is no memory for it.
[[gnu::tls_model("initial-exec")]] thread_local volatile char with_the_thread;

Database* FromHandle(BackstayDb* db) { return reinterpret_cast<Database*>(db); }

// Runs `body`; a value that says "no" when it throws (only out of memory can make it).
template <typename T, typename Body>
T Guard(T failed, Body body) noexcept {
  ReadyToThrow();
  try {
    return body();
  } catch (const std::exception&) {
    return failed;
  }
}

void Start(const char* const* entries) noexcept {
  Guard(0, [&] {
    auto told = std::make_unique<std::vector<std::string>>();
    for (; *entries != nullptr; ++entries) told->emplace_back(*entries);
    const std::vector<std::string>* none = nullptr;
    if (environment.compare_exchange_strong(none, told.get())) static_cast<void>(told.release());
    return 0;
  });
}

int Open(const BackstayOpen* options, BackstayDb** db, char* error, size_t n) noexcept {
  return Guard(1, [&] {
    Result<Database*> opened = TheEngine()->Open(*options);
    if (!opened.ok()) {
      snprintf(error, n, "%s", opened.status().message().c_str());
      return 1;
    }
    *db = reinterpret_cast<BackstayDb*>(*opened);
    return 0;
  });
}

int Holds(BackstayDb* db, int look) noexcept {
  Database* database = FromHandle(db);
  if (look != 0) Guard(0, [&] { return database->EndIfLost(), 0; });
  return database->holds() ? 1 : 0;
}

int GiveBack() noexcept {
  Engine* engine = Slot().load();
  return engine == nullptr ? 0 : Guard(0, [&] { return engine->GiveBack() ? 1 : 0; });
}

void Close(BackstayDb* db) noexcept {
  Guard(0, [&] { return TheEngine()->Close(FromHandle(db)), 0; });
}

void Closed(BackstayDb* db) noexcept {
  Guard(0, [&] { return TheEngine()->Closed(FromHandle(db)), 0; });
}

void Committed(BackstayDb* db, const BackstayWalPosition* pos) noexcept {
  Guard(0, [&] { return FromHandle(db)->Committed(ToTarget(*pos)), 0; });
}

void Checkpoint(BackstayDb* db) noexcept {
  Guard(0, [&] { return FromHandle(db)->BeforeCheckpoint(), 0; });
}

int FinishWal(BackstayDb* db, int timeout_ms, int commit_waits) noexcept {
  return Guard(0, [&] { return FromHandle(db)->Finish(timeout_ms, commit_waits != 0) ? 1 : 0; });
}

void WalGone(BackstayDb* db) noexcept {
  Guard(0, [&] { return FromHandle(db)->WalGone(), 0; });
}

void Writing(BackstayDb* db) noexcept {
  Guard(0, [&] { return FromHandle(db)->Writing(), 0; });
}

void Written(BackstayDb* db, const BackstayWrites* writes) noexcept {
  Guard(0, [&] { return FromHandle(db)->Written(*writes), 0; });
}

int Sync(BackstayDb* db, int timeout_ms) noexcept {
  return Guard(0, [&] { return FromHandle(db)->Sync(timeout_ms) ? 1 : 0; });
}

char* StatusText(BackstayDb* db) noexcept {
  return Guard(static_cast<char*>(nullptr),
               [&] { return strdup(FromHandle(db)->StatusJson().c_str()); });
}

void FreeText(char* text) noexcept { free(text); }

int IsSync(BackstayDb* db) noexcept { return FromHandle(db)->sync_commits() ? 1 : 0; }

void Log(int level, const char* path, const char* message) noexcept {
  Guard(0, [&] { return TheEngine()->Log(static_cast<Level>(level), path, message), 0; });
}

void Drain() noexcept {
  Engine* engine = Slot().load();
  if (engine != nullptr) Guard(0, [&] { return engine->Drain(), 0; });
}

// A child has none of our threads, and the engine's locks may be held for ever: it is left alone,
// and what the child opens gets an engine of its own. Only that nothing of the child's keeps it
// from shipping one day.
void Forked() noexcept {
  Engine* parents = Slot().exchange(nullptr);
  if (parents != nullptr) parents->Forked();
}

constexpr BackstayEngine kTable = {BACKSTAY_ENGINE_API_VERSION,
                                   Start,
                                   Open,
                                   Holds,
                                   GiveBack,
                                   Close,
                                   Closed,
                                   Committed,
                                   FinishWal,
                                   Checkpoint,
                                   WalGone,
                                   Writing,
                                   Written,
                                   Sync,
                                   StatusText,
                                   FreeText,
                                   IsSync,
                                   Log,
                                   Drain,
                                   Forked};

}  // namespace
}  // namespace backstay

extern "C" __attribute__((visibility("default"))) const BackstayEngine* backstay_engine(
    uint32_t version) {
  backstay::with_the_thread = 1;
  return version == BACKSTAY_ENGINE_API_VERSION ? &backstay::kTable : nullptr;
}
