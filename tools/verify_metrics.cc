#include "tools/verify_metrics.h"

#include "tools/source.h"
#include "uploader/base/clock.h"
#include "uploader/settings/settings.h"
#include "uploader/state/exposition.h"
#include "uploader/state/metrics_folder.h"

namespace backstay {
namespace {

using Json = nlohmann::ordered_json;

int64_t NumberOf(const Json& replica, const char* name) {
  const auto found = replica.find(name);
  return found != replica.end() && found->is_number() ? found->get<int64_t>() : 0;
}

std::string LabelsOf(const std::string& from, const Json& replica) {
  return Label("db", IsUrl(from) ? "" : from) + "," +
         Label("replica", replica.value("replica", ""));
}

std::string TextOf(const std::string& from, const Json& replicas) {
  const int64_t now = RealClock()->WallMs();
  Exposition text;
  const auto family = [&](const char* name, const char* help, const char* needs, auto value) {
    text.Family(name, "gauge", help);
    for (const Json& each : replicas) {
      if (each.contains(needs)) text.Sample(LabelsOf(from, each), value(each));
    }
  };
  family("backstay_verify_ok", "1: the last verification found nothing wrong.", "verified",
         [](const Json& each) { return each.value("verified", false) ? "1" : "0"; });
  family("backstay_verify_timestamp_seconds", "When the last verification ended.", "verified",
         [&](const Json&) { return Seconds(now); });
  family("backstay_verify_transaction_timestamp_seconds",
         "When the newest transaction that it restored was committed.", "time_ms",
         [](const Json& each) { return Seconds(NumberOf(each, "time_ms")); });
  family("backstay_verify_restore_seconds", "How long that restore took.", "restore_ms",
         [](const Json& each) { return Seconds(NumberOf(each, "restore_ms")); });
  family("backstay_verify_database_bytes", "Size of the database that was restored.",
         "database_bytes",
         [](const Json& each) { return std::to_string(NumberOf(each, "database_bytes")); });
  return text.Take();
}

}  // namespace

std::string MetricsFolderOf(const std::string& option, const std::string& config) {
  if (!option.empty()) return option;
  SettingsSources sources = ProcessSources();
  sources.config_file = config;
  Result<Settings> settings = LoadSettings(sources);
  return settings.ok() ? settings->metrics_folder : "";
}

Status WriteVerifyMetrics(const std::string& folder, const std::string& from,
                          const nlohmann::ordered_json& replicas) {
  return ReplaceMetricsFile(folder, MetricsFileName("backstay-verify", from),
                            TextOf(from, replicas));
}

}  // namespace backstay
