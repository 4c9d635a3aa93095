#include "uploader/settings/settings.h"

#include <fnmatch.h>
#include <unistd.h>

#include <filesystem>

#include "uploader/base/file.h"
#include "uploader/settings/environment.h"
#include "uploader/settings/json_file.h"
#include "uploader/settings/replica_url.h"
#include "uploader/settings/table.h"
#include "uploader/settings/units.h"

namespace backstay {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxConfigBytes = 1 << 20;

Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

bool IsGlob(const std::string& pattern) {
  return pattern.find_first_of("*?[") != std::string::npos;
}

// "/a//b/../c" -> "/a/c"
std::string Normal(const std::string& path) { return fs::path(path).lexically_normal().string(); }

// Symbolic links resolved as far as the path exists and holds no glob; SQLite does the same to the
// names it opens.
std::string Resolved(const std::string& pattern) {
  const std::string normal = Normal(pattern);
  size_t glob = normal.find_first_of("*?[");
  size_t cut = glob == std::string::npos ? normal.size() : normal.rfind('/', glob);
  std::error_code error;
  fs::path head = fs::weakly_canonical(normal.substr(0, cut), error);
  return error ? normal : head.string() + normal.substr(cut);
}

bool Matches(const std::string& pattern, const std::string& path) {
  if (pattern.empty()) return true;
  const std::string wanted = Normal(pattern);
  const std::string resolved = Resolved(pattern);
  const std::string canonical = Resolved(path);
  if (wanted == path || resolved == canonical) return true;
  // A path that exists as it is written is no glob, whatever its name holds.
  if (!IsGlob(pattern) || access(pattern.c_str(), F_OK) == 0) return false;
  return (fnmatch(wanted.c_str(), path.c_str(), FNM_PATHNAME) == 0 ||
          fnmatch(resolved.c_str(), canonical.c_str(), FNM_PATHNAME) == 0);
}

Status ReadConfigFile(const SettingsSources& sources, bool replicas_replaced, Settings* out) {
  std::string path = sources.config_file;
  std::string from = "-config";
  if (path.empty()) {
    path = Variable(sources, "BACKSTAY_CONFIG").value_or("");
    from = "BACKSTAY_CONFIG";
  }
  const bool optional = path.empty();
  if (optional) path = sources.default_config_file;
  Result<std::string> text = ReadFile(path, kMaxConfigBytes);
  if (!text.ok()) {
    if (optional && text.error().code() == Code::kNotFound) return {};
    return {Code::kInvalid,
            (optional ? "" : from + ": ") +
                "the configuration cannot be read: " + text.error().message(),
            text.error().retryable()};
  }
  return ReadSettingsJson(*text, sources, replicas_replaced, out).Wrap(path);
}

Result<ReplicaSettings> UrlReplica(const SettingsSources& sources, const Settings& settings,
                                   const std::string& url, const std::string& name) {
  Result<ReplicaSettings> replica = ParseReplicaUrl(url, name);
  if (!replica.ok()) return replica;
  AddDefaults(settings.replica_defaults, &*replica);
  FillCredentials(sources, &*replica);
  BACKSTAY_TRY(FinishReplica(&*replica));
  return replica;
}

// One rule from BACKSTAY_DB, ahead of the file's; a rule of the file for the same path lends it
// its other settings.
void AddEnvironmentRule(const std::string& pattern, const ReplicaSettings& replica,
                        Settings* settings) {
  DatabaseRule rule;
  for (const DatabaseRule& other : settings->rules) {
    if (Matches(other.pattern, pattern)) {
      rule.settings = other.settings;
      break;
    }
  }
  rule.pattern = pattern;
  rule.settings.replicas = {replica};
  settings->rules.insert(settings->rules.begin(), std::move(rule));
}

// BACKSTAY_DB without a URL: keeps, or narrows, the file's rules that it selects.
Status ApplySelection(const SettingsSources& sources, Settings* settings) {
  std::optional<std::string> pattern = Variable(sources, "BACKSTAY_DB");
  if (!pattern.has_value()) return {};
  if ((*pattern)[0] != '/') {
    return Invalid("BACKSTAY_DB: " + Quote(*pattern) + " is relative; write an absolute path");
  }
  if (Variable(sources, "BACKSTAY_REPLICA_URL").has_value()) return {};
  std::vector<DatabaseRule> kept;
  for (DatabaseRule& rule : settings->rules) {
    if (Matches(rule.pattern, *pattern)) rule.pattern = *pattern;
    if (Matches(*pattern, rule.pattern)) kept.push_back(std::move(rule));
  }
  settings->rules = std::move(kept);
  if (!settings->rules.empty()) return {};
  return Invalid("BACKSTAY_DB: " + Quote(*pattern) +
                 " has no replica; set BACKSTAY_REPLICA_URL, or list it in the file's \"dbs\"");
}

Status ApplyReplicaUrl(const SettingsSources& sources, Settings* settings) {
  std::optional<std::string> url = Variable(sources, "BACKSTAY_REPLICA_URL");
  if (!url.has_value()) return {};
  Result<ReplicaSettings> replica = UrlReplica(sources, *settings, *url, "");
  if (!replica.ok()) return replica.error().Wrap("BACKSTAY_REPLICA_URL");
  if (std::optional<std::string> pattern = Variable(sources, "BACKSTAY_DB")) {
    AddEnvironmentRule(*pattern, *replica, settings);
    return {};
  }
  if (settings->rules.empty()) settings->rules.emplace_back();
  for (DatabaseRule& rule : settings->rules) rule.settings.replicas = {*replica};
  return {};
}

// Two databases in one log would destroy each other.
Status CheckShared(const Settings& settings) {
  std::vector<std::pair<std::string, const DatabaseRule*>> seen;
  for (const DatabaseRule& rule : settings.rules) {
    for (const ReplicaSettings& replica : rule.settings.replicas) {
      if (HasNamePlaceholder(replica)) continue;
      if (IsGlob(rule.pattern)) {
        return Invalid("pattern " + Quote(rule.pattern) + " can select several databases, but " +
                       replica.Describe() + " holds one; put {name} into its path");
      }
      for (const auto& [location, other] : seen) {
        if (location == Location(replica) && Normal(other->pattern) != Normal(rule.pattern)) {
          return Invalid("databases " + Quote(other->pattern) + " and " + Quote(rule.pattern) +
                         " share the replica " + replica.Describe() +
                         "; give each its own path, for instance with {name}");
        }
      }
      seen.emplace_back(Location(replica), &rule);
    }
  }
  return {};
}

// Half a pair in the environment that no replica completed would silently fall through to other
// credentials.
Status CheckHalfPair(const SettingsSources& sources, const Settings& settings) {
  constexpr char kId[] = "BACKSTAY_ACCESS_KEY_ID";
  constexpr char kSecret[] = "BACKSTAY_SECRET_ACCESS_KEY";
  std::optional<std::string> id = Variable(sources, kId);
  std::optional<std::string> secret = Variable(sources, kSecret);
  if (id.has_value() == secret.has_value()) return {};
  auto used = [&](const ReplicaSettings& replica) {
    return !replica.access_key_id.empty() &&
           (replica.access_key_id == id || replica.secret_access_key == secret);
  };
  if (used(settings.replica_defaults)) return {};
  for (const DatabaseRule& rule : settings.rules) {
    for (const ReplicaSettings& replica : rule.settings.replicas) {
      if (used(replica)) return {};
    }
  }
  return Invalid(id.has_value() ? std::string(kId) + " is set without " + kSecret + "; set both"
                                : std::string(kSecret) + " is set without " + kId + "; set both");
}

Status ApplyParameters(const std::vector<std::pair<std::string, std::string>>& parameters,
                       DatabaseSettings* database) {
  SettingTarget target;
  target.database = database;
  for (const auto& [name, value] : parameters) {
    if (name.rfind("backstay_", 0) != 0) continue;  // SQLite's, or the application's own
    const Setting* setting = FindUriParameter(name);
    if (setting == nullptr) return UnknownUriParameter(name);
    BACKSTAY_TRY(setting->set(value, target).Wrap("URI parameter " + name));
  }
  return {};
}

const DatabaseRule* FindRule(const Settings& settings, const std::string& path) {
  for (const DatabaseRule& rule : settings.rules) {
    if (Matches(rule.pattern, path)) return &rule;
  }
  return nullptr;
}

}  // namespace

Result<Settings> LoadSettings(const SettingsSources& sources) {
  Settings settings;
  BACKSTAY_TRY(CheckEnvironment(sources));
  const bool replaced = Variable(sources, "BACKSTAY_REPLICA_URL").has_value() &&
                        !Variable(sources, "BACKSTAY_DB").has_value();
  BACKSTAY_TRY(ReadConfigFile(sources, replaced, &settings));
  BACKSTAY_TRY(ApplyProcessVariables(sources, &settings));
  BACKSTAY_TRY(ApplySelection(sources, &settings));
  BACKSTAY_TRY(ApplyReplicaUrl(sources, &settings));
  DatabaseSettings checked;  // a bad value is an error even while no rule would carry it
  BACKSTAY_TRY(ApplyDatabaseVariables(sources, &checked));
  for (DatabaseRule& rule : settings.rules) {
    BACKSTAY_TRY(ApplyDatabaseVariables(sources, &rule.settings));
  }
  BACKSTAY_TRY(CheckHalfPair(sources, settings));
  BACKSTAY_TRY(CheckShared(settings));
  return settings;
}

Result<DatabaseSettings> EnvironmentSettings(const SettingsSources& sources) {
  DatabaseSettings settings;
  BACKSTAY_TRY(CheckEnvironment(sources));
  BACKSTAY_TRY(ApplyDatabaseVariables(sources, &settings));
  return settings;
}

Result<DatabaseSettings> SettingsFor(
    const Settings& settings, const SettingsSources& sources, const std::string& path,
    const std::string& replica_url,
    const std::vector<std::pair<std::string, std::string>>& parameters) {
  if (path.empty() || path[0] != '/') {
    return Invalid("database path " + Quote(path) + " is not absolute");
  }
  const std::string normal = Normal(path);
  const DatabaseRule* rule = FindRule(settings, normal);
  if (rule == nullptr && replica_url.empty()) {
    return Status(Code::kNotFound, "no setting selects the database " + Quote(normal) +
                                       "; set BACKSTAY_DB and BACKSTAY_REPLICA_URL, or list it in "
                                       "the configuration's \"dbs\"");
  }
  DatabaseSettings database = rule != nullptr ? rule->settings : DatabaseSettings();
  database.path = normal;
  const std::string name = NameOf(normal);
  BACKSTAY_TRY(ApplyDatabaseVariables(sources, &database));
  if (!replica_url.empty()) {
    Result<ReplicaSettings> replica = UrlReplica(sources, settings, replica_url, name);
    if (!replica.ok()) return replica.error().Wrap("URI parameter replica");
    database.replicas = {*replica};
  }
  for (ReplicaSettings& replica : database.replicas) {
    BACKSTAY_TRY(ExpandName(name, &replica).Wrap("replica of " + Quote(normal)));
  }
  BACKSTAY_TRY(ApplyParameters(parameters, &database));
  return database;
}

}  // namespace backstay
