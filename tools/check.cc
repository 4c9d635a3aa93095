// backstay check: whether settings, credentials, bucket and rights are such that replication works.

#include <cstdio>
#include <set>
#include <utility>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/json_output.h"
#include "tools/replica_check.h"
#include "tools/source.h"
#include "tools/table.h"
#include "uploader/settings/replica_url.h"

namespace backstay {
namespace {

constexpr char kName[] = "backstay-check";  // for {name}, where no database is meant

int Fail(const Status& status) {
  PrintError("check: " + status.message());
  return ExitCodeOf(status);
}

// Every replica of the settings, each once.
Result<std::vector<DatabaseSettings>> AllOf(const std::string& config) {
  SettingsSources sources = ProcessSources();
  sources.config_file = config;
  Result<Settings> settings = LoadSettings(sources);
  if (!settings.ok()) return settings.status();
  for (const std::string& warning : settings->warnings) PrintWarning(warning);
  std::vector<DatabaseSettings> all;
  std::set<std::string> seen;
  for (const DatabaseRule& rule : settings->rules) {
    DatabaseSettings database = rule.settings;
    database.replicas.clear();
    for (ReplicaSettings replica : rule.settings.replicas) {
      BACKSTAY_TRY(ExpandName(kName, &replica));
      if (seen.insert(Location(replica)).second) database.replicas.push_back(std::move(replica));
    }
    all.push_back(std::move(database));
  }
  if (!all.empty()) return all;
  return Status(
      Code::kInvalid,
      "no replica is configured; set BACKSTAY_REPLICA_URL, name it in the file given with "
      "-config, or give the replica's URL");
}

Result<std::vector<DatabaseSettings>> SettingsOf(const std::string& from,
                                                 const SourceOptions& options) {
  if (from.empty()) return AllOf(options.config);
  Result<DatabaseSettings> settings = SourceSettings(from, options, kName);
  if (!settings.ok()) return settings.status();
  return std::vector<DatabaseSettings>{std::move(*settings)};
}

int Tell(const ReplicaChecked& checked) {
  int code = kExitDone;
  for (const CheckStep& step : checked.steps) {
    const std::string text = checked.replica + ": " + step.name + ": " + step.text;
    if (step.result == CheckResult::kWarning) PrintWarning(text);
    if (step.result != CheckResult::kFailed) continue;
    PrintError("check: " + text);
    code = WorseOf(code, ExitCodeOf(step.error));
  }
  return code;
}

void Print(const ReplicaChecked& checked) {
  printf("%s\n", checked.place.c_str());
  Table table({"STEP", "RESULT", ""});
  for (const CheckStep& step : checked.steps) {
    const bool said = step.result == CheckResult::kFailed || step.result == CheckResult::kWarning;
    table.Add({step.name, NameOf(step.result), said ? "" : step.text});
  }
  printf("%s", table.Text().c_str());
}

Json ToJson(const ReplicaChecked& checked) {
  Json steps = Json::array();
  for (const CheckStep& step : checked.steps) {
    steps.push_back(
        {{"step", step.name}, {"result", NameOf(step.result)}, {"text", JsonText(step.text)}});
  }
  return {{"replica", checked.replica}, {"place", checked.place}, {"steps", std::move(steps)}};
}

}  // namespace

int RunCheck(const std::vector<std::string>& arguments) {
  std::string from;
  SourceOptions source;
  bool json = false;
  Arguments app("check",
                "Tries out what replication needs: settings, credentials, server, TLS, clock, "
                "bucket, and the rights to list, write, read and delete. Each step that fails says "
                "the remedy. One object is written beside the replica and deleted again.");
  source.Bind(&app);
  app.Flag("--json", &json, "as JSON");
  app.Operand("from", &from, false, "DB|URL",
              "database path or replica URL; without it all replicas of the settings");
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  Result<int64_t> patience_ms = ParseDurationMs(source.patience);
  if (!patience_ms.ok()) return Fail(patience_ms.status().Wrap("-patience"));
  Result<std::vector<DatabaseSettings>> all = SettingsOf(from, source);
  if (!all.ok()) return Fail(all.status());
  Json replicas = Json::array();
  bool interrupted = false;
  for (const DatabaseSettings& database : *all) {
    const CheckOptions options{.patience_ms = *patience_ms, .deletes = database.retention_ms > 0};
    for (const ReplicaSettings& replica : database.replicas) {
      const ReplicaChecked checked = CheckReplica(replica, options);
      if (!json) Print(checked);
      exit_code = WorseOf(exit_code, Tell(checked));
      replicas.push_back(ToJson(checked));
      if (!checked.interrupted) continue;
      PrintError("check: interrupted");
      exit_code = WorseOf(exit_code, kExitFailed);
      interrupted = true;
      break;
    }
    if (interrupted) break;
  }
  if (json) PrintJson({{"replicas", std::move(replicas)}});
  return exit_code;
}

}  // namespace backstay
