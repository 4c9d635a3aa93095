#include "uploader/settings/table.h"

#include <string_view>

#include "uploader/settings/units.h"

namespace backstay {
namespace {

Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

// "BACKSTAY_SERVICE_HOST", "BACKSTAY_PORT", "BACKSTAY_PORT_80_TCP_ADDR", also behind a longer name
// (kubernetes.io, "Service environment variables").
bool IsKubernetesService(std::string_view name) {
  if (name.ends_with("_SERVICE_HOST") || name.ends_with("_PORT")) return true;
  if (name.find("_SERVICE_PORT") != std::string_view::npos) return true;
  size_t port = name.find("_PORT_");
  return port != std::string_view::npos && port + 6 < name.size() && name[port + 6] >= '0' &&
         name[port + 6] <= '9';
}

}  // namespace

std::span<const Setting> AllSettings() {
  static const auto* all = new std::vector<Setting>(SettingRows());
  return *all;
}

Status SetSetting(const Setting& setting, const std::string& value, const SettingTarget& target,
                  const Place& place) {
  const bool secret = (setting.flags & kSecret) != 0;
  // Most often the line end of a file that a secret was made of.
  if (HasControlCharacter(value)) {
    return Invalid((secret ? "the value" : Quote(value)) +
                   " holds a control character (a line end?); take it out");
  }
  BACKSTAY_TRY(setting.set(value, target));
  std::vector<Said>* said = nullptr;
  std::string key = setting.key;
  switch (setting.scope) {
    case Scope::kLogging: key = JsonPlace(setting); [[fallthrough]];
    case Scope::kTop: said = &target.settings->said; break;
    case Scope::kDatabase: said = &target.database->said; break;
    case Scope::kReplica: said = &target.replica->said; break;
    case Scope::kEnvironmentOnly: return {};
  }
  Note({std::move(key), secret ? "***" : value, place.origin, place.at}, said);
  return {};
}

void Note(Said said, std::vector<Said>* all) {
  for (Said& each : *all) {
    if (each.key != said.key) continue;
    each = std::move(said);
    return;
  }
  all->push_back(std::move(said));
}

const Said* FindSaid(const std::vector<Said>& all, const std::string& key) {
  for (const Said& each : all) {
    if (each.key == key) return &each;
  }
  return nullptr;
}

std::string JsonPlace(const Setting& setting) {
  switch (setting.scope) {
    case Scope::kTop: return setting.key;
    case Scope::kLogging: return std::string("logging.") + setting.key;
    case Scope::kDatabase: return std::string("dbs[].") + setting.key;
    case Scope::kReplica: return std::string("dbs[].replicas[].") + setting.key;
    case Scope::kEnvironmentOnly: return "";
  }
  return "";
}

bool IsDefaultToo(const Setting& setting) {
  if (setting.scope == Scope::kDatabase) return (setting.flags & kOneDatabase) == 0;
  return (setting.flags & kTopLevelToo) != 0;
}

const Setting* FindKey(Scope scope, const std::string& key) {
  for (const Setting& setting : AllSettings()) {
    if (setting.scope == scope && setting.key == key) return &setting;
  }
  return nullptr;
}

const Setting* FindUrlParameter(const std::string& name) {
  const Setting* setting = FindKey(Scope::kReplica, name);
  return setting != nullptr && (setting->flags & kInUrl) != 0 ? setting : nullptr;
}

const Setting* FindUriParameter(const std::string& name) {
  for (const Setting& setting : AllSettings()) {
    if (*setting.parameter != '\0' && setting.parameter == name) return &setting;
  }
  return nullptr;
}

std::vector<std::string> KeysOf(Scope scope) {
  std::vector<std::string> keys;
  for (const Setting& setting : AllSettings()) {
    if (setting.scope == scope) keys.push_back(setting.key);
  }
  return keys;
}

Status UnknownUrlParameter(const std::string& name, const std::string& scheme) {
  const Setting* setting = FindKey(Scope::kReplica, name);
  if (setting != nullptr && (setting->flags & kSecret) != 0) {
    return Invalid("parameter " + name + " does not belong into a URL, which is logged; set " +
                   setting->variables[0]);
  }
  if (scheme != "s3")
    return Invalid("a file replica takes no parameter; leave out what follows '?'");
  std::vector<std::string> known;
  for (const Setting& row : AllSettings()) {
    if ((row.flags & kInUrl) != 0) known.push_back(row.key);
  }
  return Invalid("unknown parameter " + Quote(name) + Suggestion(name, known));
}

Status UnknownUriParameter(const std::string& name) {
  std::vector<std::string> known;
  for (const Setting& setting : AllSettings()) {
    if (*setting.parameter != '\0') known.push_back(setting.parameter);
  }
  return Invalid("unknown URI parameter " + Quote(name) + Suggestion(name, known));
}

std::optional<Status> UnknownVariable(const std::string& name) {
  if (name.rfind("BACKSTAY_TEST_", 0) == 0 || IsKubernetesService(name)) return std::nullopt;
  if (name == kPingUrlVariable) return std::nullopt;
  std::vector<std::string> known{kPingUrlVariable};
  for (const Setting& setting : AllSettings()) {
    for (const char* variable : setting.variables) {
      if (name == variable) return std::nullopt;
      if (std::string_view(variable).starts_with("BACKSTAY_")) known.push_back(variable);
    }
  }
  return Invalid("unknown environment variable " + Quote(name) + Suggestion(name, known));
}

std::string SettingsTable() {
  std::string out =
      "| JSON file | environment | URI parameter | default | meaning |\n|---|---|---|---|---|\n";
  for (const Setting& setting : AllSettings()) {
    std::string variables;
    for (const char* name : setting.variables) {
      variables += (variables.empty() ? "`" : ", `") + std::string(name) + "`";
    }
    auto code = [](const std::string& text) { return text.empty() ? text : "`" + text + "`"; };
    out += "| " + code(JsonPlace(setting)) + " | " + variables + " | " + code(setting.parameter) +
           " | " + code(setting.standard) + " | " + setting.help + " |\n";
  }
  return out;
}

}  // namespace backstay
