#include "uploader/engine/configuration.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

constexpr int64_t kUsuallyMs = 5000;
constexpr int64_t kSoonMs = 1000;
constexpr const char* kVariable = "BACKSTAY_CONFIG";

std::string Absolute(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  return error ? path : absolute.string();
}

// The application may go to another folder.
SettingsSources WithAbsolutePath(SettingsSources sources) {
  const std::optional<std::string> path = sources.getenv(kVariable);
  if (!path || path->empty()) return sources;
  sources.getenv = [getenv = std::move(sources.getenv),
                    absolute = Absolute(*path)](const std::string& name) {
    return name == kVariable ? std::optional<std::string>(absolute) : getenv(name);
  };
  return sources;
}

std::string PathOf(const SettingsSources& sources) {
  if (!sources.config_file.empty()) return Absolute(sources.config_file);
  const std::optional<std::string> path = sources.getenv(kVariable);
  return path && !path->empty() ? *path : sources.default_config_file;
}

void AddIf(bool differs, const char* name, std::string* names) {
  if (differs) *names += (names->empty() ? "" : ", ") + std::string(name);
}

// But for its keys, which are taken up.
bool IsSame(const ReplicaSettings& a, const ReplicaSettings& b) {
  return a.type == b.type && a.bucket == b.bucket && a.path == b.path && a.endpoint == b.endpoint &&
         a.region == b.region && a.ca_file == b.ca_file && a.skip_verify == b.skip_verify &&
         a.force_path_style == b.force_path_style && a.objects == b.objects;
}

}  // namespace

Configuration::Configuration(SettingsSources sources, Clock* clock)
    : sources_(WithAbsolutePath(std::move(sources))),
      clock_(clock),
      path_(PathOf(sources_)),
      stamp_(StampOf(path_)),
      settings_(LoadSettings(sources_)),
      usable_(settings_.ok()),
      looked_ms_(clock->MonotonicMs()) {}

bool Configuration::DueLocked(bool soon) {
  const int64_t now = clock_->MonotonicMs();
  if (now - looked_ms_ < (soon ? kSoonMs : kUsuallyMs)) return false;
  looked_ms_ = now;
  return true;
}

// While a mount is exchanged the file may be missing for a moment, so one look alone says nothing.
// One that never was there is missed by nobody.
void Configuration::MissLocked(Logger* logger) {
  if (stamp_.size < 0 || !std::exchange(missing_, true)) return;
  spoilt_ = true;
  logger->Remind(
      Level::kWarn,
      "the configuration file is gone, or cannot be looked at: what was read before holds "
      "until the application ends; put it back",
      {{"config", path_}});
}

std::optional<Settings> Configuration::Look(bool soon, Logger* logger) {
  std::unique_lock<std::mutex> lock(mutex_, std::try_to_lock);
  if (!usable_ || !lock || !DueLocked(soon)) return std::nullopt;
  const FileStamp stamp = StampOf(path_);
  if (stamp.size < 0) {
    MissLocked(logger);
    return std::nullopt;
  }
  missing_ = false;
  if (stamp == stamp_ && stamp_.settled && !spoilt_) return std::nullopt;
  Result<Settings> fresh = LoadSettings(sources_);
  // One that has gone meanwhile may have been read as none at all.
  if (StampOf(path_).size < 0) return std::nullopt;
  // Behind it: where memory fails, the next look finds the change again.
  stamp_ = stamp;
  spoilt_ = !fresh.ok();
  if (spoilt_) {
    logger->Remind(
        Level::kWarn,
        "the configuration has changed and cannot be used, what was read before holds: " +
            fresh.status().message(),
        {{"config", path_}});
    return std::nullopt;
  }
  logger->Over("the configuration can be used again", {{"config", path_}});
  return std::move(*fresh);
}

std::string NeedRestart(const DatabaseSettings& old, const DatabaseSettings& fresh) {
  std::string names;
  const bool replicas = std::equal(old.replicas.begin(), old.replicas.end(), fresh.replicas.begin(),
                                   fresh.replicas.end(), IsSame);
  AddIf(!replicas, "replicas", &names);
  AddIf(old.durability != fresh.durability, "durability", &names);
  AddIf(old.sync_timeout_ms != fresh.sync_timeout_ms, "sync-timeout", &names);
  AddIf(old.sync_wal != fresh.sync_wal, "sync-wal", &names);
  AddIf(old.outbox_limit != fresh.outbox_limit, "outbox-limit", &names);
  AddIf(old.page_cache != fresh.page_cache, "page-cache", &names);
  AddIf(old.max_requests != fresh.max_requests, "max-requests", &names);
  return names;
}

std::string NeedRestart(const Settings& old, const Settings& fresh) {
  std::string names;
  const bool rules = std::equal(
      old.rules.begin(), old.rules.end(), fresh.rules.begin(), fresh.rules.end(),
      [](const DatabaseRule& a, const DatabaseRule& b) { return a.pattern == b.pattern; });
  AddIf(!rules, "dbs[].path", &names);
  AddIf(old.log.type != fresh.log.type, "logging.type", &names);
  AddIf(old.log.file != fresh.log.file, "logging.file", &names);
  AddIf(old.close_timeout_ms != fresh.close_timeout_ms, "close-timeout", &names);
  AddIf(old.drain_on_sigterm != fresh.drain_on_sigterm, "drain-on-sigterm", &names);
  AddIf(old.metrics_folder != fresh.metrics_folder, "metrics-dir", &names);
  AddIf(old.heartbeat_url != fresh.heartbeat_url, "heartbeat-url", &names);
  AddIf(old.heartbeat_interval_ms != fresh.heartbeat_interval_ms, "heartbeat-interval", &names);
  return names;
}

}  // namespace backstay
