#include "tools/source.h"

#include <filesystem>
#include <system_error>

#include "tools/command.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/client_factory.h"

namespace backstay {
namespace {

Result<DatabaseSettings> SettingsOf(const std::string& database, const std::string& config) {
  std::error_code error;
  if (std::filesystem::is_directory(database, error)) {
    return Status(Code::kInvalid, database +
                                      " is a folder, not a database; a replica in a folder is "
                                      "named by its URL: file://" +
                                      database);
  }
  SettingsSources sources = ProcessSources();
  sources.config_file = config;
  Result<Settings> settings = LoadSettings(sources);
  if (!settings.ok()) return settings.status();
  Result<DatabaseSettings> selected = SettingsFor(*settings, sources, database, "", {});
  const bool nothing = !selected.ok() && selected.status().code() == Code::kNotFound;
  if (nothing || (selected.ok() && selected->replicas.empty())) {
    return Status(Code::kInvalid,
                  "no replica is configured for " + database +
                      "; set BACKSTAY_REPLICA_URL, name it in the file given with -config, or give "
                      "the replica's URL in place of the database");
  }
  return selected;
}

Result<DatabaseSettings> SettingsAt(const std::string& url, const std::string& name) {
  Result<ReplicaSettings> replica = ParseReplicaUrl(url, name);
  if (!replica.ok()) return replica.status();
  FillCredentials(ProcessSources(), &*replica);
  DatabaseSettings settings;
  settings.replicas.push_back(*replica);
  return settings;
}

}  // namespace

bool IsUrl(const std::string& argument) { return argument.find("://") != std::string::npos; }

std::string DatabasePath(const std::string& path) {
  constexpr int kMostLinks = 40;
  std::error_code error;
  std::filesystem::path at = std::filesystem::absolute(path, error);
  if (error) return path;
  for (int i = 0; i < kMostLinks; ++i) {
    std::filesystem::path folder = std::filesystem::canonical(at.parent_path(), error);
    if (error) break;
    at = folder / at.filename();
    const std::filesystem::path target = std::filesystem::read_symlink(at, error);
    if (error) break;  // no link
    at = target.is_absolute() ? target : folder / target;
  }
  return at.lexically_normal().string();
}

void SourceOptions::Bind(Arguments* app) {
  app->Text("--config", &config, "settings file (default /etc/backstay.json)");
  app->Text(
      "--patience", &patience,
      "longest wait for a server from which nothing comes, then the exit status is 1 (default "
      "60s; half of it for each of several replicas)");
}

Result<Source> OpenSource(const std::string& argument, const SourceOptions& options,
                          const std::string& name) {
  Source source;
  Result<int64_t> patience_ms = ParseDurationMs(options.patience);
  if (patience_ms.ok() && *patience_ms == 0) {
    patience_ms = Status(Code::kInvalid, options.patience + ": give a time to wait, like 60s");
  }
  if (!patience_ms.ok()) return patience_ms.status().Wrap("-patience");
  if (!IsUrl(argument)) source.database = DatabasePath(argument);
  Result<DatabaseSettings> settings =
      IsUrl(argument) ? SettingsAt(argument, name) : SettingsOf(source.database, options.config);
  if (!settings.ok()) return settings.status();
  source.retention_ms = settings->retention_ms;
  source.retry.patience_ms = *patience_ms / (settings->replicas.size() > 1 ? 2 : 1);
  source.retry.remedy =
      "; see whether the address is right and the server well, or let it have more time with "
      "-patience";
  for (const ReplicaSettings& replica : settings->replicas) {
    Result<std::unique_ptr<ReplicaClient>> client =
        MakeReplicaClient(replica, {.silence = {.begins = PrintError, .ends = PrintError},
                                    .patience_ms = source.retry.patience_ms});
    if (!client.ok()) return client.status();
    source.replicas.push_back(std::move(*client));
  }
  return source;
}

}  // namespace backstay
