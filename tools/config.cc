// backstay config: what the settings mean, and who says each of them. Nothing is contacted.

#include <cstdio>
#include <utility>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/json_output.h"
#include "uploader/settings/settings.h"
#include "uploader/settings/table.h"
#include "uploader/storage/shared_credentials.h"

namespace backstay {
namespace {

// A setting in force.
struct Line {
  std::string key, value;
  std::string from;  // "default", "file", "environment" or "url"
  std::string at;    // where there
};

const char* NameOf(Origin origin) {
  switch (origin) {
    case Origin::kFile: return "file";
    case Origin::kEnvironment: return "environment";
    case Origin::kUrl: return "url";
  }
  return "";
}

// The table's order; what neither was said nor has a default is left out.
std::vector<Line> LinesOf(Scope scope, const std::vector<Said>& all) {
  std::vector<Line> lines;
  for (const Setting& setting : AllSettings()) {
    if (setting.scope != scope || (setting.flags & kOneDatabase) != 0) continue;
    const std::string key = scope == Scope::kLogging ? JsonPlace(setting) : setting.key;
    if (const Said* said = FindSaid(all, key)) {
      lines.push_back({key, said->value, NameOf(said->origin), said->at});
    } else if (*setting.standard != '\0') {
      lines.push_back({key, setting.standard, "default", ""});
    }
  }
  return lines;
}

std::vector<Line> LinesOf(const ReplicaSettings& replica) {
  std::vector<Line> lines;
  for (Line& line : LinesOf(Scope::kReplica, replica.said)) {
    const bool of_s3 = line.key == "region" || line.key == "skip-verify";
    if (line.from == "default" && of_s3 && replica.type != "s3") continue;
    lines.push_back(std::move(line));
  }
  return lines;
}

Json ToJson(const std::vector<Line>& lines) {
  Json all = Json::array();
  for (const Line& line : lines) {
    all.push_back(
        {{"key", line.key}, {"value", line.value}, {"from", line.from}, {"at", JsonText(line.at)}});
  }
  return all;
}

std::vector<Line> LinesOf(const Settings& settings) {
  std::vector<Line> lines = LinesOf(Scope::kTop, settings.said);
  for (Line& line : LinesOf(Scope::kLogging, settings.said)) lines.push_back(std::move(line));
  return lines;
}

Json ToJson(const Settings& settings) {
  Json databases = Json::array();
  for (const DatabaseRule& rule : settings.rules) {
    Json replicas = Json::array();
    for (const ReplicaSettings& replica : rule.settings.replicas) {
      replicas.push_back(
          {{"replica", replica.Describe()},
           {"endpoint", JsonText(replica.endpoint)},
           {"force-path-style", replica.type == "s3" ? Json(replica.force_path_style) : Json()},
           {"settings", ToJson(LinesOf(replica))}});
    }
    databases.push_back({{"path", JsonText(rule.pattern)},
                         {"settings", ToJson(LinesOf(Scope::kDatabase, rule.settings.said))},
                         {"replicas", replicas}});
  }
  return {{"settings", ToJson(LinesOf(settings))}, {"databases", databases}};
}

void Print(const std::vector<Line>& lines, int indent) {
  for (const Line& line : lines) {
    const std::string at = line.at.empty() ? "" : " " + line.at;
    printf("%*s%-18s %-20s (%s%s)\n", indent, "", line.key.c_str(), line.value.c_str(),
           line.from.c_str(), at.c_str());
  }
}

void Print(const Settings& settings) {
  Print(LinesOf(settings), 0);
  for (const DatabaseRule& rule : settings.rules) {
    printf("database %s\n",
           rule.pattern.empty() ? "(every one that the process opens)" : rule.pattern.c_str());
    Print(LinesOf(Scope::kDatabase, rule.settings.said), 2);
    for (const ReplicaSettings& replica : rule.settings.replicas) {
      const std::string server = replica.endpoint.empty() ? "" : " at " + replica.endpoint;
      printf("  replica %s%s%s\n", replica.Describe().c_str(), server.c_str(),
             replica.force_path_style ? ", bucket in the path" : "");
      Print(LinesOf(replica), 4);
    }
  }
}

// What is in order here, but does not suffice where it is used.
std::vector<std::string> WarningsOf(const Settings& settings) {
  std::vector<std::string> warnings = settings.warnings;
  if (settings.rules.empty()) {
    warnings.push_back(
        "no database is selected; remedy: list it in \"dbs\", or set BACKSTAY_DB and "
        "BACKSTAY_REPLICA_URL");
  }
  for (const DatabaseRule& rule : settings.rules) {
    for (const ReplicaSettings& replica : rule.settings.replicas) {
      if (replica.type != "s3" || !replica.access_key_id.empty()) continue;
      if (SharedCredentials::Check(replica).ok()) continue;
      warnings.push_back(replica.Describe() + ": no access key is set here" +
                         (replica.half_pair.empty() ? "" : " (" + replica.half_pair + ")") +
                         "; set BACKSTAY_ACCESS_KEY_ID and BACKSTAY_SECRET_ACCESS_KEY for the "
                         "application");
    }
  }
  return warnings;
}

}  // namespace

int RunConfig(const std::vector<std::string>& arguments) {
  SettingsSources sources = ProcessSources();
  sources.config_option = "-check";
  bool json = false;
  Arguments app("config",
                "Prints the settings in force, and where each comes from: default, file or "
                "environment. Exit status: 0 they are in order, 2 they are not; all problems are "
                "named.");
  app.Text("--check", &sources.config_file,
           "the settings file to look at (default: BACKSTAY_CONFIG, else /etc/backstay.json)");
  app.Flag("--json", &json, "as JSON");
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  std::vector<std::string> problems;
  const Result<Settings> settings = LoadSettings(sources, &problems);
  const std::vector<std::string> warnings =
      settings.ok() ? WarningsOf(*settings) : std::vector<std::string>();
  if (json) {
    Json all = ToJson(settings.ok() ? *settings : Settings());
    if (!settings.ok()) all["settings"] = Json::array();
    all["warnings"] = warnings;
    all["problems"] = problems;
    PrintJson(all);
  } else if (settings.ok()) {
    Print(*settings);
  }
  for (const std::string& each : problems) PrintError(each);
  for (const std::string& each : warnings) PrintWarning(each);
  return settings.ok() ? kExitDone : kExitUsage;
}

}  // namespace backstay
