// backstay run: a program with the preload library in it, or a refusal that says why.

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/configured.h"
#include "tools/library.h"
#include "tools/program.h"
#include "tools/shipment.h"
#include "tools/supervisor.h"
#include "tools/tail.h"
#include "uploader/settings/log_options.h"
#include "uploader/settings/settings.h"

namespace backstay {
namespace {

// As of env, nice and timeout: the program's own exit status is most often below.
constexpr int kExitRefused = 125;
constexpr int kExitCannotExecute = 126;
constexpr int kExitNoProgram = 127;

constexpr const char* kLibrary = "libbackstay_preload.so";

int Refuse(const Status& status) {
  PrintError("run: " + status.message());
  if (status.code() == Code::kNotFound) return kExitNoProgram;
  return status.code() == Code::kDenied ? kExitCannotExecute : kExitRefused;
}

Status NoLibrary(const std::string& message) { return {Code::kInvalid, message}; }

// What the loader would only warn of, and start the program without.
Result<ElfKind> CheckLibrary(const std::string& path) {
  if (path.find_first_of(" :$") != std::string::npos) {
    return NoLibrary("LD_PRELOAD cannot hold a path with a blank, a colon or a dollar sign: " +
                     path + "; remedy: install Backstay elsewhere");
  }
  Result<Fd> file = OpenFile(path, O_RDONLY);
  if (!file.ok()) return NoLibrary(file.status().message() + "; remedy: make it readable");
  Result<ElfFile> elf = ReadElf(*file);
  if (!elf.ok()) {
    return NoLibrary(path + " is no library: " + elf.status().message() +
                     "; remedy: install it anew");
  }
  BACKSTAY_TRY(CheckEngine(path));
  return elf->kind;
}

// Before what others preload.
void SetPreload(const std::string& library) {
  const char* others = getenv("LD_PRELOAD");
  const std::string value = others != nullptr && *others != '\0' ? library + ":" + others : library;
  setenv("LD_PRELOAD", value.c_str(), 1);
}

// In the child.
int Start(const std::string& library, const std::string& path,
          const std::vector<std::string>& command) {
  SetPreload(library);
  std::vector<char*> argv;
  for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(path.c_str(), argv.data());
  const bool gone = errno == ENOENT;
  PrintError("run: " + path + ": " + strerror(errno));
  return gone ? kExitNoProgram : kExitCannotExecute;
}

// In a child, which is gone with the memory that it takes. What is open at its end is shipped then.
int OpenAll(const std::vector<std::string>& databases, Logger* log) {
  for (const std::string& database : databases) {
    Result<Shipment> shipment = Shipment::Open(database);
    if (shipment.ok()) {
      shipment->Leave();
    } else {
      log->Log(Level::kWarn, shipment.status().message(), {{"db", database}});
    }
  }
  return kExitDone;
}

// What the application has left unshipped as it ended.
void ShipTail(Supervisor* supervisor, int ended) {
  const Result<Settings> settings = LoadSettings(ProcessSources());
  if (!settings.ok()) return;  // the application's log has said it
  const std::vector<std::string> databases = DatabasesWithTail(*settings);
  if (databases.empty()) return;
  Logger log(LogOptionsFrom(settings->log));
  (void)supervisor->RunUndisturbed([&] { return OpenAll(databases, &log); });
  for (const std::string& database : databases) {
    const std::string how = " when it ended with " + Supervisor::Describe(ended);
    if (IsShipped(database)) {
      log.Log(Level::kInfo, "shipped what the application had not" + how, {{"db", database}});
      continue;
    }
    const std::string stopped = StoppedReplicas(database);
    log.Log(Level::kWarn,
            "what the application had not shipped" + how + " is not in every replica; " +
                (stopped.empty()
                     ? "it follows with the next start on this disk, or with `backstay sync`"
                     : "it does not follow before this is settled: " + stopped),
            {{"db", database}});
  }
}

// The last error of a child, which its parent does not see otherwise.
class LastWord {
 public:
  LastWord() {
    std::array<int, 2> ends{-1, -1};
    if (pipe2(ends.data(), O_CLOEXEC) != 0) return;
    hear_ = Fd(ends[0]);
    say_ = Fd(ends[1]);
  }
  // In the child.
  void Say(const std::string& word) const {
    const std::string line = word.substr(0, kMost);
    (void)!write(say_.get(), line.data(), line.size());
  }
  // In the parent, once the child has ended; empty: it said nothing.
  std::string Hear() {
    say_ = Fd();
    std::string word(kMost, '\0');
    const ssize_t got = read(hear_.get(), word.data(), word.size());
    word.resize(static_cast<size_t>(std::max<ssize_t>(got, 0)));
    return word;
  }

 private:
  static constexpr size_t kMost = 2000;  // a pipe holds more
  Fd hear_, say_;
};

// In a child, like what follows the application's end. The exit status of the first that failed.
int RestoreEach(const Settings& settings) {
  // Standard output is the application's.
  (void)dup2(STDERR_FILENO, STDOUT_FILENO);
  Result<std::vector<std::string>> databases = ConfiguredDatabases(settings);
  if (!databases.ok()) return Refuse(databases.status());
  for (const std::string& database : *databases) {
    const int code = RunRestore({"-if-db-not-exists", "-if-replica-exists", database});
    if (code != kExitDone) return code;
  }
  return kExitDone;
}

// Databases that are there, or have no replica yet, are left as they are.
Status RestoreFirst(Supervisor* supervisor) {
  const Result<Settings> settings = LoadSettings(ProcessSources());
  if (!settings.ok()) return settings.status();
  if (!NamesDatabases(*settings)) {
    return {Code::kInvalid,
            "-restore: no setting names a database; set BACKSTAY_DB and BACKSTAY_REPLICA_URL, or "
            "list it in the configuration file"};
  }
  LastWord cause;
  const Result<int> ended = supervisor->Run([&] {
    const int code = RestoreEach(*settings);
    if (code != kExitDone) cause.Say(LastError());
    return code;
  });
  if (!ended.ok()) return ended.status();
  Logger log(LogOptionsFrom(settings->log));
  const std::string refused = "the application is not started: ";
  if (const int signal = supervisor->told_to_end()) {
    log.Log(Level::kInfo,
            refused + "told to end by " + Supervisor::Describe(W_EXITCODE(0, signal)));
    return {Code::kCancelled, "told to end"};
  }
  if (*ended == 0) return Status::Ok();
  const std::string why = cause.Hear();
  const std::string message = refused + "a restore ended with " + Supervisor::Describe(*ended) +
                              (why.empty() ? "" : ": " + why);
  log.Log(Level::kError, message);
  return {Code::kInvalid, message};
}

struct Options {
  bool restore = false;
  std::string preload;
  std::string config;
  std::vector<std::string> command;
};

// kExitDone: it may be started. Else the exit status, told already.
int ReadOptions(const std::vector<std::string>& arguments, Options* options, bool* over) {
  Arguments app(
      "run",
      "Starts PROGRAM with the preload library in it: `backstay run -- PROGRAM "
      "[ARGUMENT…]`. The databases that BACKSTAY_DB or the configuration file selects "
      "are replicated; signals are passed on, and what PROGRAM has committed and not shipped when "
      "it ends, however it does, is shipped then, for the drain timeout at most. Where the "
      "library would not come into PROGRAM, or the settings are wrong, nothing is started: exit "
      "status 125, as for a wrong usage; 126 if PROGRAM may not be executed, 127 if it is not "
      "there; else it ends as PROGRAM "
      "does.");
  app.Flag("--restore", &options->restore,
           "first restore each configured database that is not there and has a replica; if that "
           "fails, PROGRAM is not started");
  app.Text("--preload", &options->preload,
           "the preload library, if it is neither here nor installed");
  app.Text("--config", &options->config, "settings file (default /etc/backstay.json)");
  app.WithoutOperand("put `--` before PROGRAM: `backstay run -- PROGRAM [ARGUMENT…]`");
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  int exit_code = kExitDone;
  *over = !app.Parse(std::vector<std::string>(arguments.begin(), end), &exit_code);
  if (*over) return exit_code == kExitDone ? kExitDone : kExitRefused;
  *over = end == arguments.end() || end + 1 == arguments.end();
  if (*over) {
    return Refuse({Code::kInvalid, "PROGRAM is missing: `backstay run -- PROGRAM [ARGUMENT…]`"});
  }
  options->command.assign(end + 1, arguments.end());
  return kExitDone;
}

// Of the library, too. With wrong settings it would replicate nothing.
Status UseConfig(const std::string& config) {
  SettingsSources sources = ProcessSources();
  if (!config.empty()) sources.config_file = std::filesystem::absolute(config);
  if (!config.empty()) setenv("BACKSTAY_CONFIG", sources.config_file.c_str(), 1);
  const Result<Settings> settings = LoadSettings(sources);
  return settings.ok() ? Status::Ok() : Status(Code::kInvalid, settings.status().message());
}

}  // namespace

int RunRun(const std::vector<std::string>& arguments) {
  Options options;
  bool over = false;
  const int exit_code = ReadOptions(arguments, &options, &over);
  if (over) return exit_code;
  Result<std::string> library = FindLibrary(kLibrary, options.preload, "-preload");
  if (!library.ok()) return Refuse(library.status());
  Result<ElfKind> kind = CheckLibrary(*library);
  if (!kind.ok()) return Refuse(kind.status());
  Result<std::string> program = FindProgram(options.command[0]);
  if (!program.ok()) return Refuse(program.status());
  if (Status status = CheckPreload(*program, *kind); !status.ok()) return Refuse(status);
  if (Status found = UseConfig(options.config); !found.ok()) return Refuse(found);
  Supervisor supervisor;
  if (options.restore) {
    const Status restored = RestoreFirst(&supervisor);
    if (const int signal = supervisor.told_to_end()) {
      return Supervisor::EndAs(W_EXITCODE(0, signal));
    }
    if (!restored.ok()) return Refuse(restored);
  }
  const Result<int> ended =
      supervisor.Run([&] { return Start(*library, *program, options.command); });
  if (!ended.ok()) return Refuse(ended.status());
  ShipTail(&supervisor, *ended);
  return Supervisor::EndAs(*ended);
}

}  // namespace backstay
