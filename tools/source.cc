#include "tools/source.h"

#include <filesystem>
#include <system_error>

#include "tools/command.h"
#include "tools/replica_finder.h"
#include "uploader/settings/replica_url.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/client_factory.h"
#include "uploader/storage/retry_bucket.h"

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
  for (const std::string& warning : settings->warnings) PrintWarning(warning);
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
  // What the environment has added is held to the same rules.
  BACKSTAY_TRY(FinishReplica(&*replica));
  DatabaseSettings settings;
  settings.replicas.push_back(*replica);
  return settings;
}

Result<Source> Open(const DatabaseSettings& settings, const SourceOptions& options) {
  Source source;
  Result<int64_t> patience_ms = ParseDurationMs(options.patience);
  if (patience_ms.ok() && *patience_ms == 0) {
    patience_ms = Status(Code::kInvalid, options.patience + ": give a time to wait, like 60s");
  }
  if (!patience_ms.ok()) return patience_ms.status().Wrap("-patience");
  source.retention_ms = settings.retention_ms;
  source.retry.patience_ms = *patience_ms / (settings.replicas.size() > 1 ? 2 : 1);
  source.retry.remedy =
      "; see whether the address is right and the server well, or let it have more time with "
      "-patience";
  const auto retries = std::make_shared<RetryBuckets>();
  for (const ReplicaSettings& replica : settings.replicas) {
    Result<std::unique_ptr<ReplicaClient>> client = MakeReplicaClient(
        replica, {.silence = {.begins = PrintWarning, .ends = PrintRecovered, .notes = PrintNote},
                  .patience_ms = source.retry.patience_ms,
                  .retries = retries});
    if (!client.ok()) return client.status();
    source.replicas.push_back(std::move(*client));
  }
  return source;
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

Result<DatabaseSettings> SourceSettings(const std::string& argument, const SourceOptions& options,
                                        const std::string& name) {
  if (IsUrl(argument) && !options.config.empty()) {
    return Status(Code::kInvalid,
                  "-config: no file counts for a replica that is named by its URL; leave -config "
                  "out (keys come from the environment), or give the database in place of the URL");
  }
  if (IsUrl(argument)) return SettingsAt(argument, name);
  return SettingsOf(DatabasePath(argument), options.config);
}

Result<Source> OpenSource(const std::string& argument, const SourceOptions& options,
                          const std::string& name) {
  const std::string database = IsUrl(argument) ? "" : DatabasePath(argument);
  Result<DatabaseSettings> settings = SourceSettings(argument, options, name);
  if (!settings.ok()) return settings.status();
  Result<Source> source = Open(*settings, options);
  if (source.ok()) source->database = database;
  return source;
}

Result<Source> OpenSourcesUnder(const std::string& url, const SourceOptions& options) {
  Result<DatabaseSettings> settings = SettingsAt(url, "");
  if (!settings.ok()) return settings.status();
  Result<Source> above = Open(*settings, options);
  if (!above.ok()) return above.status();
  Result<std::vector<std::string>> folders =
      FindReplicas(ReplicaReader(above->replicas.front().get(), above->retry));
  if (!folders.ok()) return folders.status();
  const ReplicaSettings place = settings->replicas.front();
  settings->replicas.clear();
  for (const std::string& folder : *folders) {
    settings->replicas.push_back(place);
    std::string& path = settings->replicas.back().path;
    path += (path.empty() || path.ends_with("/") ? "" : "/") + folder;
  }
  return Open(*settings, options);
}

}  // namespace backstay
