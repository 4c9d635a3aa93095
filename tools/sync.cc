// backstay sync: ships what waits of a database, whose application is gone or running.

#include <stdlib.h>

#include <cstdio>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/json_output.h"
#include "tools/shipment.h"
#include "tools/source.h"
#include "uploader/settings/settings.h"

namespace backstay {
namespace {

int Fail(const Status& status) {
  PrintError("sync: " + status.message());
  return status.code() == Code::kInvalid ? kExitUsage : kExitFailed;
}

// What keeps one, whose status names no error, from having everything.
std::string Lack(const Json& replica, const std::string& timeout, const Source& source) {
  const Json by = replica.value("shipped_by", Json());
  if (replica.value("state", "") == "passive" && by.is_number_integer()) {
    return "process " + std::to_string(by.get<int64_t>()) +
           ", which ships it, did not get all of it there within " + timeout +
           "; `backstay status` tells more";
  }
  if (replica.value("state", "") == "starting") {
    std::string place = "it";
    for (const auto& each : source.replicas) {
      if (each->Describe() == replica.value("replica", "")) place = each->Place();
    }
    return place + " did not answer within " + timeout +
           ": see whether it can be reached from here";
  }
  return "it did not take all of it within " + timeout;
}

// "s3://bucket/app: …", one after the other.
std::string Problems(const std::string& status_json, const std::string& timeout,
                     const Source& source) {
  const Json status = Json::parse(status_json, nullptr, /*allow_exceptions=*/false);
  if (!status.is_object()) return "";
  std::string problems;
  for (const Json& replica : status.value("replicas", Json::array())) {
    const Json error = replica.value("error", Json());
    if (!error.is_string() && replica.value("lag_transactions", Json()) == 0) continue;
    problems += "; " + replica.value("replica", "") + ": ";
    problems += error.is_string() ? error.get<std::string>() : Lack(replica, timeout, source);
  }
  return problems;
}

void Print(const std::string& database, const Source& source, bool json) {
  Json all = {{"db", database}, {"replicas", Json::array()}};
  for (const auto& replica : source.replicas) {
    const std::string name = replica->Describe();
    all["replicas"].push_back({{"replica", name}});
    if (!json) printf("everything committed in %s is in %s\n", database.c_str(), name.c_str());
  }
  if (json) PrintJson(all);
}

int Sync(const std::string& database, const std::string& timeout, const Source& source, bool json) {
  Result<Shipment> shipment = Shipment::Open(database);
  if (!shipment.ok()) return Fail(shipment.status());
  Result<int64_t> timeout_ms = ParseDurationMs(timeout);
  if (!shipment->Sync(timeout_ms.ok() ? *timeout_ms : 0)) {
    return Fail({Code::kUnavailable, "not all of " + database + " is in every replica" +
                                         Problems(shipment->StatusJson(), timeout, source)});
  }
  Print(database, source, json);
  return kExitDone;
}

}  // namespace

int RunSync(const std::vector<std::string>& arguments) {
  Arguments app("sync",
                "Ships what waits of a database, whether its application is gone or running, and "
                "waits until everything committed is in every replica. Exit status 1: it is not.");
  std::string database;
  std::string timeout = "30s";
  bool json = false;
  SourceOptions options;
  app.Text("--config", &options.config, "settings file (default /etc/backstay.json)");
  app.Text("--timeout", &timeout, "longest wait (default 30s)");
  app.Flag("--json", &json, "as JSON");
  app.Operand("database", &database, true, "DB", "database path");
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  Result<int64_t> timeout_ms = ParseDurationMs(timeout);
  if (!timeout_ms.ok()) return Fail(timeout_ms.status().Wrap("-timeout"));
  if (IsUrl(database)) return Fail({Code::kInvalid, "give the path of the database, not a URL"});
  database = DatabasePath(database);
  Result<Source> source = OpenSource(database, options, "");
  if (!source.ok()) return Fail(source.status());
  // For the engine, whose log is for people here.
  if (!options.config.empty()) setenv("BACKSTAY_CONFIG", options.config.c_str(), 1);
  setenv("BACKSTAY_LOG_LEVEL", "warn", 0);
  setenv("BACKSTAY_LOG_FORMAT", "text", 0);
  return Sync(database, timeout, *source, json);
}

}  // namespace backstay
