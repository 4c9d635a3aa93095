#include "uploader/engine/engine.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <new>
#include <utility>
#include <vector>

#include "uploader/base/caught.h"
#include "uploader/engine/term_signal.h"
#include "uploader/settings/log_options.h"
#include "uploader/storage/ping.h"
#include "uploader/storage/retry_policy.h"

namespace backstay {
namespace {

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

OpenedWith With(const BackstayOpen& options) {
  OpenedWith with{options.path, options.replica_url != nullptr ? options.replica_url : "", {}};
  for (int i = 0; i < options.nparam; ++i) {
    with.parameters.emplace_back(options.params[2 * i], options.params[2 * i + 1]);
  }
  return with;
}

// The last metrics of a process; a disk takes them at once.
constexpr int64_t kLastMetricsMs = 500;

std::string MetricsFolder(const Result<Settings>& settings) {
  return settings.ok() ? settings->metrics_folder : "";
}

int64_t DrainTimeout(const Result<Settings>& settings) {
  return settings.ok() ? settings->drain_timeout_ms : Settings().drain_timeout_ms;
}

int64_t CloseTimeout(const Result<Settings>& settings) {
  return settings.ok() ? std::min(settings->close_timeout_ms, settings->drain_timeout_ms) : 0;
}

}  // namespace

Engine::Engine(SettingsSources sources)
    : configuration_(std::move(sources), RealClock()),
      logger_(LogOptionsFrom(LogSettingsOf(configuration_.settings(), configuration_.sources()))),
      metrics_({MetricsFolder(configuration_.settings()), &logger_, RealClock()}),
      closes_(RealClock(), CloseTimeout(configuration_.settings())) {
  // Whoever makes it tries again.
  const Result<Settings>& settings = configuration_.settings();
  if (!settings.ok() && settings.status().retryable()) throw std::bad_alloc();
  if (settings.ok()) {
    for (const std::string& warning : settings->warnings) logger_.Log(Level::kWarn, warning);
  }
  // OpenSSL would clean itself up at exit before the shim's drain runs: exit handlers run last in,
  // first out.
  OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);
}

Result<DatabaseSettings> Engine::SettingsOf(const OpenedWith& with,
                                            const Settings& settings) const {
  const SettingsSources& sources = configuration_.sources();
  Result<DatabaseSettings> chosen =
      SettingsFor(settings, sources, with.path, with.replica_url, with.parameters);
  if (!chosen.ok()) return chosen;
  chosen->path = with.path;
  for (ReplicaSettings& replica : chosen->replicas) FillCredentials(sources, &replica);
  if (chosen->replicas.empty()) {
    return Status(Code::kInvalid, "no replica is configured for " + with.path +
                                      ": set BACKSTAY_REPLICA_URL or dbs[].replicas");
  }
  return chosen;
}

Result<Database*> Engine::Open(const BackstayOpen& options) {
  const OpenedWith with = With(options);
  std::unique_lock<std::mutex> lock(mutex_);
  if (!configuration_.settings().ok()) return configuration_.settings().status();
  Result<DatabaseSettings> settings = SettingsOf(with, *configuration_.settings());
  if (!settings.ok()) return settings.status();
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
  database.metrics = &metrics_;
  if (!configuration_.settings()->heartbeat_url.empty()) database.heartbeat = &beats_;
  database.file = file;
  database.clock = RealClock();
  database.logger = &logger_;
  database.random = RandomBits;
  database.retries = retries_;
  database.locks = &locks_;
  database.workers = &workers_;
  database.choose = [this, with](const Settings& fresh) { return SettingsOf(with, fresh); };
  database.look = [this](bool denied) {
    (void)Caught([&] { return TakeUpSettings(denied), Status::Ok(); });
  };
  database.quiet = [this] { reap_.notify_all(); };
  Result<std::unique_ptr<Database>> opened = Database::Open(std::move(database), options.host);
  if (!opened.ok()) return opened.status();
  place = std::move(*opened);
  StartReaperLocked();
  TakeTermSignalLocked();
  (void)Caught([this] { return StartHeartbeatLocked(), Status::Ok(); });
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

void Engine::TakeUpSettings(bool denied) {
  const std::optional<Settings> fresh = configuration_.Look(denied, &logger_);
  if (!fresh) return;
  std::lock_guard<std::mutex> lock(mutex_);
  const std::string restart = NeedRestart(*configuration_.settings(), *fresh);
  if (!restart.empty()) {
    logger_.Log(Level::kWarn,
                "the configuration has changed: " + restart + " take effect with the next start");
  }
  logger_.UseLevel(LogOptionsFrom(fresh->log).level);
  for (auto& [path, database] : databases_) {
    if (database != nullptr) database->TakeUp(*fresh);
  }
  // They ship what was committed before. From its beginning on they are Drain()'s.
  if (!drained_) {
    for (auto& database : retired_) database->TakeUp(*fresh);
  }
  configuration_.Take(*fresh);
}

void Engine::TakeTermSignalLocked() {
  if (!configuration_.settings()->drain_on_sigterm || std::exchange(term_signal_, true)) return;
  const bool taken = TermSignal::Take([this] {
    logger_.Log(Level::kInfo, "SIGTERM: the process ends when what is committed is shipped");
    (void)Caught([this] { return Drain(), Status::Ok(); });
  });
  if (!taken) logger_.Log(Level::kInfo, "drain-on-sigterm: the program handles SIGTERM itself");
}

// Of all that this process has open or follows: a monitor is told one thing.
void Engine::StartHeartbeatLocked() {
  const Settings& settings = *configuration_.settings();
  if (settings.heartbeat_url.empty()) return;
  if (heartbeat_ == nullptr) {
    HeartbeatOptions options;
    options.url = settings.heartbeat_url;
    options.interval_ms = settings.heartbeat_interval_ms;
    options.clock = RealClock();
    options.logger = &logger_;
    options.tally = &beats_;
    options.transport = std::make_unique<CurlTransport>(
        Ping::Timeouts(Ping::CaFile(configuration_.sources().getenv)));
    options.prove = [this](int64_t since_ms, int64_t lag_ms) {
      return ProofSince(since_ms, lag_ms);
    };
    heartbeat_ = std::make_unique<Heartbeat>(std::move(options));
  }
  // Without a thread: with the next open.
  (void)heartbeat_->Start();
}

Proof Engine::ProofSince(int64_t since_ms, int64_t lag_ms) {
  std::lock_guard<std::mutex> lock(mutex_);
  Proof proof;
  for (auto& [path, database] : databases_) {
    if (database != nullptr && !drained_) proof.Add(database->ProofSince(since_ms, lag_ms));
  }
  return proof;
}

void Engine::Log(Level level, const char* path, const char* message) {
  if (path == nullptr) return logger_.Log(level, message);
  logger_.Log(level, message, {{"db", path}});
}

void Engine::Drain() {
  // Who comes second waits for the first: only then everything is shipped.
  std::lock_guard<std::mutex> draining(drain_mutex_);
  int64_t drain_ms = 0;
  {
    std::unique_lock<std::mutex> lock(mutex_);
    if (drained_) return;
    EndLost(&lock);
    drained_ = true;
    drain_ms = DrainTimeout(configuration_.settings());
  }
  reap_.notify_all();
  // Nobody starts them any more.
  reaper_.Join();
  if (heartbeat_ != nullptr) heartbeat_->Stop();
  // Nobody adds or removes a database any more. Without memory the threads must end, too.
  LastWait wait(RealClock(), drain_ms, [this] { return OpenWrites(); });
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
  workers_.Stop();
  (void)Caught([this] { return metrics_.Finish(kLastMetricsMs), Status::Ok(); });
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
