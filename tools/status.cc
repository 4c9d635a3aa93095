// backstay status: what the process that replicates a database last wrote about it, and whether it
// still lives and goes on.

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <functional>
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
// While something waits its age is news each second.
constexpr int64_t kStaleMs = 60 * 1000;

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

ProcessId WriterOf(const Json& status) {
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
  return writer;
}

// Some process ships: the one that wrote the status, or one whose number here is another.
bool IsShipped(const Json& status, const std::string& folder) {
  if (WriterOf(status).Lives() || FolderLock::IsHeld(folder)) return true;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (FolderLock::IsHeld(entry.path())) return true;
  }
  return false;
}

int64_t NumberOf(const Json& object, const char* name) {
  const auto at = object.find(name);
  return at != object.end() && at->is_number_integer() ? at->get<int64_t>() : 0;
}

void ForEachReplica(Json* status, const std::function<void(Json*)>& body) {
  const auto replicas = status->find("replicas");
  if (replicas == status->end() || !replicas->is_array()) return;
  for (Json& replica : *replicas) {
    if (replica.is_object()) body(&replica);
  }
}

// What was committed since nobody knows.
void ForgetLag(Json* status) {
  ForEachReplica(status, [](Json* replica) {
    (*replica)["lag_ms"] = nullptr;
    (*replica)["lag_transactions"] = nullptr;
  });
}

// Nor does what the process said of the moment hold any more.
void Mark(Json* status, const char* state) {
  (*status)["state_before"] = (*status)["state"];
  (*status)["state"] = state;
  ForEachReplica(status, [state](Json* replica) { (*replica)["state"] = state; });
  ForgetLag(status);
}

// It is there, and nothing is heard of it.
bool IsStale(Json* status) {
  if (WriterOf(*status).Held()) return true;
  bool waits = false;
  ForEachReplica(status, [&](Json* each) { waits |= NumberOf(*each, "lag_ms") > 0; });
  return waits && RealClock()->WallMs() - NumberOf(*status, "written_ms") > kStaleMs;
}

// The database was written to behind the last word of the process that shipped: by one without
// Backstay, or by one that cannot use the state folder.
bool IsWrittenSince(const std::string& database, int64_t ms) {
  constexpr int64_t kNsPerMs = 1000000;
  const auto later = [ms](const FileStamp& stamp) {
    return stamp.size > 0 && stamp.mtime_ns >= (ms + 1) * kNsPerMs;
  };
  return later(StampOf(database)) || later(StampOf(database + "-wal"));
}

// What of the status holds at this moment.
void Judge(const std::string& database, const std::string& folder, Json* status) {
  const std::string state = (*status)["state"];
  const auto at = status->find("ended");
  const bool ended = at != status->end() && *at == true;
  if (ended || state == "ended" || state == "fenced") {
    if (IsWrittenSince(database, NumberOf(*status, "written_ms"))) ForgetLag(status);
  } else if (!IsShipped(*status, folder)) {
    Mark(status, "gone");
  } else if (IsStale(status)) {
    Mark(status, "stale");
  }
}

int ExitOf(const std::string& state) {
  if (state == "retrying") return kExitRetrying;
  if (state == "error" || state == "fenced") return kExitStopped;
  if (state == "ended" || state == "gone" || state == "stale") return kExitNobody;
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
  Judge(database, folder, &status);
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
      "replication stopped with an error, 7 no process ships it (ended or gone), or it does not "
      "respond (stale).");
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
