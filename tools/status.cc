// backstay status: how replication of databases stands, for people, programs, probes and
// Prometheus.

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/databases.h"
#include "tools/json_output.h"
#include "tools/source.h"
#include "tools/status_report.h"
#include "uploader/base/clock.h"
#include "uploader/settings/settings.h"
#include "uploader/state/metrics_text.h"

namespace backstay {
namespace {

// A path may hold any bytes.
std::string Dump(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string Scalar(const Json& value) {
  return value.is_string() ? value.get<std::string>() : Dump(value);
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

struct StatusRequest {
  std::string operand;
  std::string max_lag;
  bool json = false;
  bool prometheus = false;
  ReportOptions report;
};

void PrintMetrics(const std::vector<StatusReport>& reports) {
  std::vector<DatabaseStatus> all;
  for (const StatusReport& each : reports) {
    if (each.failed()) continue;
    Json status = each.status;
    // Of one that is idle the file may be old; that it lives was seen at this moment.
    if (each.up()) status["written_ms"] = RealClock()->WallMs();
    all.push_back({Dump(status), each.up()});
  }
  fputs(MetricsText(all).c_str(), stdout);
}

void PrintReports(const std::vector<StatusReport>& reports, const StatusRequest& request) {
  if (request.prometheus) return PrintMetrics(reports);
  for (const StatusReport& each : reports) {
    if (each.failed()) continue;
    if (request.json) {
      PrintJson(each.status);
    } else if (each.exit_code != kExitUnknown) {
      if (&each != reports.data()) printf("\n");
      Print(each.status, 0);
    }
  }
}

int PrintStatus(const StatusRequest& request) {
  Result<std::vector<std::string>> databases = DatabasesOf(request.operand, request.report.config);
  if (!databases.ok()) {
    PrintError("status: " + databases.status().message());
    return ExitCodeOf(databases.status());
  }
  std::vector<StatusReport> reports;
  int worst = kExitDone;
  for (const std::string& database : *databases) {
    reports.push_back(ReportOn(database, request.report));
    worst = Worse(worst, reports.back().exit_code);
    if (!reports.back().trouble.empty()) PrintError("status: " + reports.back().trouble);
  }
  PrintReports(reports, request);
  return worst;
}

bool Check(StatusRequest* request) {
  if (IsUrl(request->operand)) {
    PrintError("status: " + request->operand +
               " is a replica; give the path of the database, or ask `backstay list` what the "
               "replica holds");
    return false;
  }
  if (request->json && request->prometheus) {
    PrintError("status: give one of -json and -prometheus");
    return false;
  }
  if (request->max_lag.empty()) return true;
  Result<int64_t> max_lag = ParseDurationMs(request->max_lag);
  if (max_lag.ok()) return request->report.max_lag_ms = *max_lag, true;
  PrintError("status: -max-lag: " + max_lag.status().message());
  return false;
}

}  // namespace

int RunStatus(const std::vector<std::string>& arguments) {
  StatusRequest request;
  Arguments app(
      "status",
      "Prints how replication of a database stands, or of all that the settings select; asks "
      "nobody but the local disk. Exit status: 0 a process replicates it, 3 never opened with "
      "Backstay, 5 the replica cannot be written (tried again), 6 replication stopped with an "
      "error, 7 no process ships it (ended or gone), or it does not respond (stale), 8 it lags "
      "by more than -max-lag; of several databases the worst.");
  app.Text("--config", &request.report.config, "settings file (default /etc/backstay.json)");
  app.Text("--max-lag", &request.max_lag,
           "exit status 8 when a commit has waited for the replica for longer, like 30s");
  app.Flag("--json", &request.json, "as JSON, one object a line for each database");
  app.Flag("--prometheus", &request.prometheus, "as metrics, in Prometheus's text format");
  app.Operand("database", &request.operand, false, "DB", "database path, or a quoted glob");
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  return Check(&request) ? PrintStatus(request) : kExitUsage;
}

}  // namespace backstay
