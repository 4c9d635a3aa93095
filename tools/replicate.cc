// backstay replicate: follows databases of programs that cannot load Backstay, from beside them.

#include <stdlib.h>
#include <time.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/shipment.h"
#include "tools/source.h"
#include "tools/tail.h"
#include "uploader/base/log.h"
#include "uploader/settings/log_options.h"
#include "uploader/settings/settings.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

constexpr time_t kLookSeconds = 1;

int Fail(const Status& status) {
  PrintError("replicate: " + status.message());
  return ExitCodeOf(status);
}

// A database that is open, and what its files were like at the last look through SQLite.
class Followed {
 public:
  Followed(std::string path, Shipment shipment)
      : path_(std::move(path)), shipment_(std::move(shipment)), seen_(Files()) {}

  const std::string& path() const { return path_; }
  void Leave() { shipment_.Leave(); }
  // Of an idle database nothing is read. What a lock keeps away is read at the next look.
  void Look() {
    const auto files = Files();
    if (files != seen_ && shipment_.Look().ok()) seen_ = files;
  }

 private:
  // Without opening them, which would drop SQLite's locks.
  std::pair<FileStamp, bool> Files() const {
    return {StampOf(path_), StampOf(path_ + "-wal").size > 0};
  }

  std::string path_;
  Shipment shipment_;
  std::pair<FileStamp, bool> seen_;
};

// Opens what is there by now, until a signal comes. What is open at the end is shipped then.
class Follower {
 public:
  Follower(Settings settings, std::string database)
      : settings_(std::move(settings)),
        database_(std::move(database)),
        log_(LogOptionsFrom(settings_.log)) {}

  void Run(const sigset_t& ends) {
    do {
      for (Followed& each : open_) each.Look();
      for (const std::string& path : Present()) Open(path);
    } while (!Ended(ends));
    for (Followed& each : open_) each.Leave();
  }

 private:
  static bool Ended(const sigset_t& ends) {
    const timespec pause{kLookSeconds, 0};
    return sigtimedwait(&ends, nullptr, &pause) > 0;
  }

  std::vector<std::string> Present() const {
    if (database_.empty()) return SelectedDatabases(settings_);
    std::error_code error;
    const auto size = std::filesystem::file_size(database_, error);
    return error || size == 0 ? std::vector<std::string>{} : std::vector<std::string>{database_};
  }

  void Open(const std::string& path) {
    const auto same = [&](const Followed& each) { return each.path() == path; };
    if (std::any_of(open_.begin(), open_.end(), same)) return;
    Result<Shipment> shipment = Shipment::Open(path);
    if (!shipment.ok()) {
      log_.Remind(Level::kError, "this database is not replicated: " + shipment.status().message(),
                  {{"db", path}});
      return;
    }
    log_.Over("this database is replicated", {{"db", path}});
    open_.emplace_back(path, std::move(*shipment));
  }

  const Settings settings_;
  const std::string database_;  // empty: those that the settings select
  Logger log_;
  std::vector<Followed> open_;
};

}  // namespace

int RunReplicate(const std::vector<std::string>& arguments) {
  Arguments app("replicate",
                "Replicates databases of programs that cannot load Backstay (statically linked, or "
                "linked to musl), as long as it runs: those that the settings select, or DB. "
                "SIGTERM and SIGINT end it, behind what waits.");
  std::string database;
  SourceOptions options;
  app.Text("--config", &options.config, "settings file (default /etc/backstay.json)");
  app.Operand("database", &database, false, "DB", "database path");
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  if (IsUrl(database)) return Fail({Code::kInvalid, "give the path of the database, not a URL"});
  if (!options.config.empty()) setenv("BACKSTAY_CONFIG", options.config.c_str(), 1);
  const Result<Settings> settings = LoadSettings(ProcessSources());
  if (!settings.ok()) return Fail(settings.status());
  if (!database.empty()) {
    database = DatabasePath(database);
    Result<Source> source = OpenSource(database, options, "");
    if (!source.ok()) return Fail(source.status());
  } else if (!NamesDatabases(*settings)) {
    return Fail({Code::kInvalid,
                 "no setting names a database; set BACKSTAY_DB and BACKSTAY_REPLICA_URL, list it "
                 "in the configuration file, or give its path"});
  }
  const sigset_t ends = EndingSignals();
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  Follower(*settings, database).Run(ends);
  return kExitDone;
}

}  // namespace backstay
