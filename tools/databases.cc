#include "tools/databases.h"

#include <glob.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>

#include "tools/source.h"
#include "uploader/settings/paths.h"
#include "uploader/settings/settings.h"

namespace backstay {
namespace {

SettingsSources SourcesWith(const std::string& config) {
  SettingsSources sources = ProcessSources();
  sources.config_file = config;
  return sources;
}

// What SQLite keeps beside a database.
bool IsCompanion(const std::string& path) {
  for (const char* suffix : {"-wal", "-shm", "-journal"}) {
    const std::string end = suffix;
    if (path.size() <= end.size() || path.compare(path.size() - end.size(), end.size(), end) != 0) {
      continue;
    }
    return access(path.substr(0, path.size() - end.size()).c_str(), F_OK) == 0;
  }
  return false;
}

bool IsDatabase(const std::string& path) {
  struct stat info {};
  return stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && !IsCompanion(path);
}

std::vector<std::string> Glob(const std::string& pattern) {
  glob_t found{};
  const std::unique_ptr<glob_t, void (*)(glob_t*)> freed(&found, &globfree);
  std::vector<std::string> paths;
  if (glob(pattern.c_str(), 0, nullptr, &found) != 0) return paths;
  for (size_t i = 0; i < found.gl_pathc; ++i) paths.emplace_back(found.gl_pathv[i]);
  return paths;
}

// What a pattern with "/**/" selects in all folders below that; state folders hold no databases.
std::vector<std::string> GlobBelow(const std::string& pattern, size_t any) {
  namespace fs = std::filesystem;
  std::vector<std::string> paths;
  for (const std::string& top : Glob(pattern.substr(0, std::max<size_t>(any, 1)))) {
    std::error_code error;
    auto entry =
        fs::recursive_directory_iterator(top, fs::directory_options::skip_permission_denied, error);
    for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
      const std::string path = entry->path().string();
      if (path.ends_with("-backstay")) entry.disable_recursion_pending();
      if (SelectsPath(pattern, path)) paths.push_back(path);
    }
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

// A path that exists as it is written is no glob, whatever its name holds.
std::vector<std::string> Expand(const std::string& pattern) {
  if (!IsGlob(pattern) || access(pattern.c_str(), F_OK) == 0) return {DatabasePath(pattern)};
  const size_t any = pattern.find("/**/");
  std::vector<std::string> paths;
  for (const std::string& path :
       any == std::string::npos ? Glob(pattern) : GlobBelow(pattern, any)) {
    if (IsDatabase(path)) paths.push_back(DatabasePath(path));
  }
  return paths;
}

Result<std::vector<std::string>> PatternsOf(const std::string& config) {
  Result<Settings> settings = LoadSettings(SourcesWith(config));
  if (!settings.ok()) return settings.status();
  std::vector<std::string> patterns;
  for (const DatabaseRule& rule : settings->rules) {
    if (!rule.pattern.empty()) patterns.push_back(rule.pattern);
  }
  if (!patterns.empty()) return patterns;
  return Status(Code::kInvalid,
                settings->rules.empty()
                    ? "the settings select no database; name one, or set BACKSTAY_DB or "
                      "BACKSTAY_CONFIG (-config) as the application has it"
                    : "BACKSTAY_REPLICA_URL alone stands for every database that a program opens; "
                      "name one, or set BACKSTAY_DB");
}

}  // namespace

Result<std::vector<std::string>> DatabasesOf(const std::string& operand,
                                             const std::string& config) {
  std::vector<std::string> patterns{operand};
  if (operand.empty()) {
    Result<std::vector<std::string>> selected = PatternsOf(config);
    if (!selected.ok()) return selected;
    patterns = std::move(*selected);
  }
  std::vector<std::string> paths;
  std::string names;
  for (const std::string& pattern : patterns) {
    names += (names.empty() ? "" : ", ") + pattern;
    for (std::string& path : Expand(pattern)) {
      if (std::find(paths.begin(), paths.end(), path) == paths.end()) {
        paths.push_back(std::move(path));
      }
    }
  }
  if (paths.empty()) return Status(Code::kNotFound, "there is no file that matches " + names);
  return paths;
}

std::optional<bool> IsSelected(const std::string& database, const std::string& config) {
  const SettingsSources sources = SourcesWith(config);
  Result<Settings> settings = LoadSettings(sources);
  if (!settings.ok()) return std::nullopt;
  Result<DatabaseSettings> found = SettingsFor(*settings, sources, database, "", {});
  if (found.ok()) return !found->replicas.empty();
  if (found.status().code() == Code::kNotFound) return false;
  return std::nullopt;
}

}  // namespace backstay
