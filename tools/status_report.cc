#include "tools/status_report.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <system_error>

#include "tools/command.h"
#include "tools/databases.h"
#include "tools/tail.h"
#include "uploader/base/clock.h"
#include "uploader/base/file.h"
#include "uploader/state/process_id.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxStatusBytes = 1 << 20;
// What is nested deeper is none of ours, and would be walked by recursion.
constexpr int kMaxDepth = 8;
// While something waits its age is news each second.
constexpr int64_t kStaleMs = 60 * 1000;
constexpr const char* kUnopened = "unopened";

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

// What of the status holds at this moment.
void Judge(const std::string& database, const std::string& folder, Json* status) {
  const std::string state = (*status)["state"];
  const auto at = status->find("ended");
  const bool ended = at != status->end() && *at == true;
  if (ended || state == "ended" || state == "fenced") {
    // By one without Backstay, or by one that cannot use the state folder.
    if (IsWrittenSince(database, NumberOf(*status, "written_ms"))) ForgetLag(status);
  } else if (!IsShipped(*status, folder)) {
    Mark(status, "gone");
  } else if (IsStale(status)) {
    Mark(status, "stale");
  }
}

int ExitOf(const std::string& state) {
  if (state == kUnopened) return kExitUnknown;
  if (state == "retrying") return kExitRetrying;
  if (state == "error" || state == "fenced") return kExitStopped;
  if (state == "ended" || state == "gone" || state == "stale") return kExitNobody;
  return kExitDone;
}

std::string WhyUnopened(const std::string& database, const std::string& folder) {
  if (access(folder.c_str(), F_OK) == 0) {
    return "no process with Backstay has opened it since it was restored or adopted (there is no " +
           folder + "/status.json)";
  }
  if (access(database.c_str(), F_OK) != 0) return "there is neither this file nor " + folder;
  return "no process with Backstay has opened it (there is no " + folder + ")";
}

StatusReport Unopened(const std::string& database, const std::string& folder,
                      const std::string& config) {
  StatusReport report;
  const std::optional<bool> selected = IsSelected(database, config);
  report.trouble = "nothing is known of " + database + ": " + WhyUnopened(database, folder);
  if (selected == true) report.trouble += "; the settings select it";
  if (selected == false) report.trouble += "; no setting that this command sees selects it";
  report.status["db"] = database;
  report.status["state"] = kUnopened;
  report.status["selected"] = selected ? Json(*selected) : Json(nullptr);
  report.status["replicas"] = Json::array();
  report.exit_code = kExitUnknown;
  return report;
}

StatusReport Failed(std::string trouble) {
  StatusReport report;
  report.trouble = std::move(trouble);
  report.exit_code = kExitFailed;
  return report;
}

std::optional<int64_t> LongestLag(Json* status) {
  std::optional<int64_t> longest;
  ForEachReplica(status, [&](Json* each) {
    const auto lag = each->find("lag_ms");
    if (lag == each->end() || !lag->is_number_integer()) return;
    longest = std::max(longest.value_or(0), lag->get<int64_t>());
  });
  return longest;
}

void CheckLag(const std::string& database, int64_t most_ms, StatusReport* report) {
  const std::optional<int64_t> lag = LongestLag(&report->status);
  if (report->exit_code != kExitDone || !lag || *lag <= most_ms) return;
  report->exit_code = kExitLagging;
  report->trouble = "the replica of " + database + " lags by " + std::to_string(*lag) +
                    " ms, more than the " + std::to_string(most_ms) + " ms of -max-lag";
}

}  // namespace

bool StatusReport::up() const {
  return exit_code == kExitDone || exit_code == kExitLagging || exit_code == kExitRetrying ||
         (exit_code == kExitStopped && WriterOf(status).Lives());
}

int Worse(int one, int other) {
  constexpr std::array<int, 7> kOrder = {kExitFailed,  kExitStopped, kExitNobody, kExitRetrying,
                                         kExitLagging, kExitUnknown, kExitDone};
  return std::find(kOrder.begin(), kOrder.end(), one) <
                 std::find(kOrder.begin(), kOrder.end(), other)
             ? one
             : other;
}

StatusReport ReportOn(const std::string& database, const ReportOptions& options) {
  const std::string folder = StateFolderOf(database);
  const std::string path = folder + "/status.json";
  Result<std::string> text = ReadFile(path, kMaxStatusBytes);
  if (text.status().code() == Code::kNotFound) return Unopened(database, folder, options.config);
  if (!text.ok()) return Failed(text.status().message());
  StatusReport report;
  const auto shallow = [](int depth, Json::parse_event_t, Json&) { return depth <= kMaxDepth; };
  Json status = Json::parse(*text, shallow, /*allow_exceptions=*/false);
  const auto state = status.is_object() ? status.find("state") : status.end();
  if (!status.is_object() || state == status.end() || !state->is_string()) {
    return Failed(path + " is damaged; the process that replicates writes it anew");
  }
  Judge(database, folder, &status);
  if (auto at = status.find("written_ms"); at != status.end() && at->is_number_integer()) {
    status["age_ms"] = std::max<int64_t>(0, RealClock()->WallMs() - at->get<int64_t>());
  }
  report.exit_code = ExitOf(status["state"]);
  report.status = std::move(status);
  if (options.max_lag_ms) CheckLag(database, *options.max_lag_ms, &report);
  return report;
}

}  // namespace backstay
