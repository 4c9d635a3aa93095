#include "uploader/settings/settings.h"

#include <utility>

#include "uploader/base/file.h"
#include "uploader/settings/environment.h"
#include "uploader/settings/json_file.h"
#include "uploader/settings/paths.h"
#include "uploader/settings/problems.h"
#include "uploader/settings/replica_url.h"
#include "uploader/settings/table.h"
#include "uploader/settings/units.h"

namespace backstay {
namespace {

constexpr size_t kMaxConfigBytes = 1 << 20;

Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

void ReadConfigFile(const SettingsSources& sources, bool replicas_replaced, Settings* out,
                    Problems* problems) {
  std::string path = sources.config_file;
  std::string from = sources.config_option;
  if (path.empty()) {
    path = Variable(sources, "BACKSTAY_CONFIG").value_or("");
    from = "BACKSTAY_CONFIG";
  }
  const bool optional = path.empty();
  if (optional) path = sources.default_config_file;
  Result<std::string> text = ReadFile(path, kMaxConfigBytes);
  if (text.ok()) return ReadSettingsJson(*text, path, sources, replicas_replaced, out, problems);
  if (optional && text.error().code() == Code::kNotFound) return;
  problems->Add({Code::kInvalid,
                 (optional ? "" : from + ": ") +
                     "the configuration cannot be read: " + text.error().message(),
                 text.error().retryable()});
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
  rule.settings = settings->database_defaults;
  for (const DatabaseRule& other : settings->rules) {
    if (SelectsPath(other.pattern, pattern)) {
      rule.settings = other.settings;
      break;
    }
  }
  rule.settings.folder.clear();
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
    if (SelectsPath(rule.pattern, *pattern)) rule.pattern = *pattern;
    if (SelectsPath(*pattern, rule.pattern)) kept.push_back(std::move(rule));
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
  if (settings->rules.empty()) {
    settings->rules.emplace_back().settings = settings->database_defaults;
  }
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
        if (location == Location(replica) &&
            NormalPath(other->pattern) != NormalPath(rule.pattern)) {
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
    BACKSTAY_TRY(
        SetSetting(*setting, value, target, {Origin::kUrl, name}).Wrap("URI parameter " + name));
  }
  return {};
}

const DatabaseRule* FindRule(const Settings& settings, const std::string& path) {
  for (const DatabaseRule& rule : settings.rules) {
    if (SelectsPath(rule.pattern, path)) return &rule;
  }
  return nullptr;
}

}  // namespace

Result<Settings> LoadSettings(const SettingsSources& sources, std::vector<std::string>* problems) {
  Settings settings;
  Problems found;
  CheckEnvironment(sources, &found);
  const bool replaced = Variable(sources, "BACKSTAY_REPLICA_URL").has_value() &&
                        !Variable(sources, "BACKSTAY_DB").has_value();
  ReadConfigFile(sources, replaced, &settings, &found);
  // What follows builds on the file: half of one would be told as a second problem.
  const bool file = found.Sum().ok();
  ApplyProcessVariables(sources, &settings, &found);
  DatabaseSettings checked;  // a bad value is an error even while no rule would carry it
  ApplyDatabaseVariables(sources, &checked, &found);
  if (file) {
    found.Add(ApplySelection(sources, &settings));
    found.Add(ApplyReplicaUrl(sources, &settings));
    for (DatabaseRule& rule : settings.rules) {
      ApplyDatabaseVariables(sources, &rule.settings, &found);
    }
    found.Add(CheckHalfPair(sources, settings));
    found.Add(CheckShared(settings));
  }
  if (problems != nullptr) *problems = found.found();
  if (Status sum = found.Sum(); !sum.ok()) return sum;
  return settings;
}

Result<DatabaseSettings> EnvironmentSettings(const SettingsSources& sources) {
  DatabaseSettings settings;
  Problems found;
  CheckEnvironment(sources, &found);
  ApplyDatabaseVariables(sources, &settings, &found);
  if (Status sum = found.Sum(); !sum.ok()) return sum;
  return settings;
}

Result<DatabaseSettings> SettingsFor(
    const Settings& settings, const SettingsSources& sources, const std::string& path,
    const std::string& replica_url,
    const std::vector<std::pair<std::string, std::string>>& parameters) {
  if (path.empty() || path[0] != '/') {
    return Invalid("database path " + Quote(path) + " is not absolute");
  }
  const std::string normal = NormalPath(path);
  const DatabaseRule* rule = FindRule(settings, normal);
  if (rule == nullptr && replica_url.empty()) {
    return Status(Code::kNotFound, "no setting selects the database " + Quote(normal) +
                                       "; set BACKSTAY_DB and BACKSTAY_REPLICA_URL, or list it in "
                                       "the configuration's \"dbs\"");
  }
  DatabaseSettings database = rule != nullptr ? rule->settings : settings.database_defaults;
  database.path = normal;
  const std::string name = NameOfDatabase(database.folder, normal);
  Problems found;
  ApplyDatabaseVariables(sources, &database, &found);
  BACKSTAY_TRY(found.Sum());
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
