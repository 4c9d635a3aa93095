#include "uploader/engine/engine.h"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <new>
#include <utility>
#include <vector>

#include "uploader/base/caught.h"
#include "uploader/engine/term_signal.h"

namespace backstay {
namespace {

uint64_t RandomBits() {
  uint64_t bits = 0;
  // Never seen to fail; if it does, the clock is still different in every process.
  if (RAND_bytes(reinterpret_cast<unsigned char*>(&bits), sizeof bits) != 1) {
    bits = static_cast<uint64_t>(RealClock()->WallMs()) * 0x9e3779b97f4a7c15ULL;
  }
  return bits;
}

// Where the log goes is known as long as its own settings are right, whatever is wrong in others.
LogSettings LogSettingsOf(const Result<Settings>& settings, const SettingsSources& sources) {
  if (settings.ok()) return settings->log;
  SettingsSources log = sources;
  log.names = [] { return std::vector<std::string>(); };
  log.getenv = [&sources](const std::string& name) {
    const bool others = name.starts_with("BACKSTAY_") && !name.starts_with("BACKSTAY_LOG_");
    return others && name != "BACKSTAY_CONFIG" ? std::nullopt : sources.getenv(name);
  };
  if (Result<Settings> with_file = LoadSettings(log); with_file.ok()) return with_file->log;
  log.default_config_file.clear();
  log.getenv = [&sources](const std::string& name) {
    return name.starts_with("BACKSTAY_LOG_") ? sources.getenv(name) : std::nullopt;
  };
  Result<Settings> variables = LoadSettings(log);
  return variables.ok() ? variables->log : LogSettings{};
}

LogOptions LogOptionsFrom(const LogSettings& log) {
  LogOptions options;
  options.json = log.type == "json";
  options.file = log.file;
  options.level = log.level == "debug"   ? Level::kDebug
                  : log.level == "warn"  ? Level::kWarn
                  : log.level == "error" ? Level::kError
                                         : Level::kInfo;
  return options;
}

int64_t DrainTimeout(const Result<Settings>& settings) {
  return settings.ok() ? settings->drain_timeout_ms : Settings().drain_timeout_ms;
}

int64_t CloseTimeout(const Result<Settings>& settings) {
  return settings.ok() ? std::min(settings->close_timeout_ms, settings->drain_timeout_ms) : 0;
}

}  // namespace

Engine::Engine(SettingsSources sources)
    : sources_(std::move(sources)),
      settings_(LoadSettings(sources_)),
      logger_(LogOptionsFrom(LogSettingsOf(settings_, sources_))),
      closes_(RealClock(), CloseTimeout(settings_)) {
  // Whoever makes it tries again.
  if (!settings_.ok() && settings_.status().retryable()) throw std::bad_alloc();
  // OpenSSL would clean itself up at exit before the shim's drain runs: exit handlers run last in,
  // first out.
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);
}

Result<DatabaseSettings> Engine::SettingsOf(const BackstayOpen& options) {
  if (!settings_.ok()) return settings_.status();
  std::vector<std::pair<std::string, std::string>> parameters;
  for (int i = 0; i < options.nparam; ++i) {
    parameters.emplace_back(options.params[2 * i], options.params[2 * i + 1]);
  }
  Result<DatabaseSettings> settings =
      SettingsFor(*settings_, sources_, options.path,
                  options.replica_url != nullptr ? options.replica_url : "", parameters);
  if (!settings.ok()) return settings;
  settings->path = options.path;
  for (ReplicaSettings& replica : settings->replicas) FillCredentials(sources_, &replica);
  if (settings->replicas.empty()) {
    return Status(Code::kInvalid, "no replica is configured for " + settings->path +
                                      ": set BACKSTAY_REPLICA_URL or dbs[].replicas");
  }
  return settings;
}

Result<Database*> Engine::Open(const BackstayOpen& options) {
  Result<DatabaseSettings> settings = SettingsOf(options);
  if (!settings.ok()) return settings.status();
  std::unique_lock<std::mutex> lock(mutex_);
  MakeWay(settings->path, &lock);
  if (drained_) return Status(Code::kCancelled, "the process is exiting");
  const FileId file{options.device, options.inode};
  std::unique_ptr<Database>& place = databases_[settings->path];
  if (place != nullptr && place->file() == file) {
    place->Reopen(options.host);
    return place.get();
  }
  if (place != nullptr) RetireLocked(&place);
  DatabaseOptions database;
  database.settings = *settings;
  database.file = file;
  database.clock = RealClock();
  database.logger = &logger_;
  database.random = RandomBits;
  database.locks = &locks_;
  database.quiet = [this] { reap_.notify_all(); };
  Result<std::unique_ptr<Database>> opened = Database::Open(std::move(database), options.host);
  if (!opened.ok()) return opened.status();
  place = std::move(*opened);
  StartReaperLocked();
  TakeTermSignalLocked();
  return place.get();
}

// What was read of one file says nothing of another: that one starts as in a new process.
void Engine::RetireLocked(std::unique_ptr<Database>* database) {
  retired_.reserve(retired_.size() + 1);
  (*database)->Retire();
  retired_.push_back(std::move(*database));
  StartReaperLocked();
  reap_.notify_all();
}

void Engine::Close(Database* database) {
  database->Close();
  std::lock_guard<std::mutex> lock(mutex_);
  StartReaperLocked();
}

void Engine::Forked() noexcept {
  locks_.CloseAll();
  TermSignal::GiveBack();
}

void Engine::Closed(Database* database) {
  const int64_t start = RealClock()->MonotonicMs();
  const int64_t left = closes_.Left();
  if (left > 0) (void)Caught([&] { return database->Linger(start + left), Status::Ok(); });
  closes_.Spent(RealClock()->MonotonicMs() - start);
  database->Closed();
}

void Engine::TakeTermSignalLocked() {
  if (!settings_->drain_on_sigterm || std::exchange(term_signal_, true)) return;
  const bool taken = TermSignal::Take([this] {
    logger_.Log(Level::kInfo, "SIGTERM: the process ends when what is committed is shipped");
    (void)Caught([this] { return Drain(), Status::Ok(); });
  });
  if (!taken) logger_.Log(Level::kInfo, "drain-on-sigterm: the program handles SIGTERM itself");
}

void Engine::Log(Level level, const char* path, const char* message) {
  if (path == nullptr) return logger_.Log(level, message);
  logger_.Log(level, message, {{"db", path}});
}

void Engine::Drain() {
  // Who comes second waits for the first: only then everything is shipped.
  std::lock_guard<std::mutex> draining(drain_mutex_);
  {
    std::unique_lock<std::mutex> lock(mutex_);
    if (drained_) return;
    EndLost(&lock);
    drained_ = true;
  }
  reap_.notify_all();
  // Nobody starts it any more.
  reaper_.Join();
  // Nobody adds or removes a database any more. Without memory the threads must end, too.
  LastWait wait(RealClock(), DrainTimeout(settings_), [this] { return OpenWrites(); });
  const auto each = [this](auto does) {
    for (auto& [path, owned] : databases_) {
      Database* database = owned.get();
      if (database != nullptr) (void)Caught([&] { return does(database), Status::Ok(); });
    }
  };
  // All at once: what one waits for the others wait for, too.
  each([](Database* database) { database->Leave(); });
  DrainRetired(&wait);
  each([&](Database* database) { DrainOne(database, &wait); });
  each([](Database* database) { database->RequestStop(); });
  each([](Database* database) {
    if (database->holds() || database->ThreadsOver()) database->Stop();
  });
  DropEnding();
}

std::vector<uint64_t> Engine::OpenWrites() {
  std::vector<uint64_t> open;
  for (auto& [path, database] : databases_) {
    const uint64_t number = database != nullptr ? database->WriteOpen() : 0;
    if (number != 0) open.push_back(number);
  }
  return open;
}

// First: they have the state folders that others wait for.
void Engine::DrainRetired(LastWait* wait) {
  for (std::unique_ptr<Database>& database : retired_) {
    (void)Caught([&] { return database->Leave(), Status::Ok(); });
    (void)Caught([&] { return (void)database->Drain(wait), Status::Ok(); });
    const bool ends = database->holds() || database->ThreadsOver();
    if (ends) (void)Caught([&] { return database->Stop(), Status::Ok(); });
    // Whoever closes it may be about to leave. One that was let go is closed by its application
    // yet.
    if (database->closing() || !database->holds()) static_cast<void>(database.release());
    (void)Caught([&] { return database.reset(), Status::Ok(); });
  }
}

void Engine::DrainOne(Database* database, LastWait* wait) {
  if (database->Drain(wait)) return;
  logger_.Log(Level::kWarn,
              "the process exits before everything was shipped; " + database->Outlook(),
              {{"db", database->path()}});
}

}  // namespace backstay
