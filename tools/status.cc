// backstay status: what the process that replicates a database last wrote about it, and whether it
// still lives.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/source.h"
#include "uploader/base/clock.h"
#include "uploader/base/file.h"
#include "uploader/state/process_id.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxStatusBytes = 16 << 20;
constexpr int kExitUnknown = 3;   // never opened with Backstay, or not since it was restored
constexpr int kExitRetrying = 5;  // the replica cannot be written; goes on by itself
constexpr int kExitStopped = 6;   // somebody has to look
constexpr int kExitNobody = 7;    // no process ships

std::string Scalar(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// One "name: value" a line, nested ones indented.
void Print(const Json& value, int indent) {
  for (const auto& [name, each] : value.items()) {
    const bool nested = each.is_structured() && !each.empty();
    printf("%*s%s:%s%s\n", indent, "", name.c_str(), nested ? "" : " ",
           nested ? "" : Scalar(each).c_str());
    if (nested) Print(each, indent + 2);
  }
}

// Some process ships: the one that wrote the status, or one whose number here is another.
bool IsShipped(const Json& status, const std::string& folder) {
  ProcessId writer;
  if (auto pid = status.find("pid"); pid != status.end() && pid->is_number_integer()) {
    writer.pid = *pid;
  }
  if (auto at = status.find("pid_started"); at != status.end() && at->is_number_unsigned()) {
    writer.started = *at;
  }
  if (auto boot = status.find("boot_id"); boot != status.end() && boot->is_string()) {
    writer.boot = *boot;
  }
  if (writer.Lives() || FolderLock::IsHeld(folder)) return true;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (FolderLock::IsHeld(entry.path())) return true;
  }
  return false;
}

// What the process said of the moment holds no more, and what was committed since nobody knows.
void MarkGone(Json* status) {
  (*status)["state_before"] = (*status)["state"];
  (*status)["state"] = "gone";
  const auto replicas = status->find("replicas");
  if (replicas == status->end() || !replicas->is_array()) return;
  for (Json& replica : *replicas) {
    if (!replica.is_object()) continue;
    replica["state"] = "gone";
    replica["lag_ms"] = nullptr;
    replica["lag_transactions"] = nullptr;
  }
}

int ExitOf(const std::string& state) {
  if (state == "retrying") return kExitRetrying;
  if (state == "error" || state == "fenced") return kExitStopped;
  if (state == "ended" || state == "gone") return kExitNobody;
  return kExitDone;
}

int Unknown(const std::string& database, const std::string& folder) {
  const bool opened = access(folder.c_str(), F_OK) == 0;
  const std::string before = "status: nothing is known of " + database + ": ";
  if (opened) {
    PrintError(before +
               "no process with Backstay has opened it since it was restored or adopted (there is "
               "no " +
               folder + "/status.json)");
  } else if (access(database.c_str(), F_OK) == 0) {
    PrintError(before + "no process with Backstay has opened it (there is no " + folder + ")");
  } else {
    PrintError(before + "there is neither this file nor " + folder);
  }
  return kExitUnknown;
}

int PrintStatus(const std::string& database, bool json) {
  const std::string folder = StateFolderOf(database);
  const std::string path = folder + "/status.json";
  Result<std::string> text = ReadFile(path, kMaxStatusBytes);
  if (text.status().code() == Code::kNotFound) return Unknown(database, folder);
  if (!text.ok()) {
    PrintError("status: " + text.status().message());
    return kExitFailed;
  }
  Json status = Json::parse(*text, nullptr, /*allow_exceptions=*/false);
  const auto state = status.is_object() ? status.find("state") : status.end();
  if (!status.is_object() || state == status.end() || !state->is_string()) {
    PrintError("status: " + path + " is damaged; the process that replicates writes it anew");
    return kExitFailed;
  }
  const bool lasts = *state == "ended" || *state == "fenced";
  if (!lasts && !IsShipped(status, folder)) MarkGone(&status);
  if (auto at = status.find("written_ms"); at != status.end() && at->is_number_integer()) {
    status["age_ms"] = std::max<int64_t>(0, RealClock()->WallMs() - at->get<int64_t>());
  }
  if (json) {
    printf("%s\n", status.dump().c_str());
  } else {
    Print(status, 0);
  }
  return ExitOf(status["state"]);
}

}  // namespace

int RunStatus(const std::vector<std::string>& arguments) {
  std::string database;
  std::string config;
  bool json = false;
  Arguments app(
      "status",
      "Prints how replication of a database stands. Exit status: 0 a process replicates it, "
      "3 never opened with Backstay, 5 the replica cannot be written (tried again), 6 "
      "replication stopped with an error, 7 no process ships it (ended or gone).");
  app.Text("--config", &config, "accepted for symmetry; the state stands beside the database");
  app.Flag("--json", &json, "as JSON");
  app.Operand("database", &database, true, "DB", "database path");
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  if (IsUrl(database)) {
    PrintError("status: " + database +
               " is a replica; give the path of the database, or ask `backstay list` what the "
               "replica holds");
    return kExitUsage;
  }
  return PrintStatus(DatabasePath(database), json);
}

}  // namespace backstay
