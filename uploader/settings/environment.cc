#include "uploader/settings/environment.h"

#include <dlfcn.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "uploader/settings/object_settings.h"
#include "uploader/settings/replica_url.h"
#include "uploader/settings/table.h"

namespace backstay {
namespace {

constexpr char kPrefix[] = "BACKSTAY_";

// A library that is loaded with RTLD_DEEPBIND sees libc's `environ`, which stays null in a program
// that has a copy of it (CPython): the program's own is the right one.
char** Environment() {
  void* program = dlopen(nullptr, RTLD_NOW);
  if (program == nullptr) return environ;
  void* found = dlsym(program, "environ");
  dlclose(program);
  return found != nullptr ? *static_cast<char***>(found) : environ;
}

std::vector<std::string> OwnNames(const std::vector<std::string>& environment) {
  std::vector<std::string> names;
  for (const std::string& entry : environment) {
    const size_t equals = entry.find('=');
    if (entry.starts_with(kPrefix) && equals != std::string::npos) {
      names.push_back(entry.substr(0, equals));
    }
  }
  return names;
}

struct Credentials {
  std::string id, secret, token;
};

Credentials FromEnvironment(const SettingsSources& sources, const std::string& prefix) {
  auto read = [&](const char* name) {
    return Variable(sources, (prefix + name).c_str()).value_or("");
  };
  return {read("ACCESS_KEY_ID"), read("SECRET_ACCESS_KEY"), read("SESSION_TOKEN")};
}

// Halves of different pairs never mix: an offer counts only where it agrees with what is there.
bool Complete(const Credentials& offer, ReplicaSettings* replica) {
  auto agree = [](const std::string& a, const std::string& b) {
    return a.empty() || b.empty() || a == b;
  };
  const std::string& id = replica->access_key_id.empty() ? offer.id : replica->access_key_id;
  const std::string& secret =
      replica->secret_access_key.empty() ? offer.secret : replica->secret_access_key;
  if (id.empty() || secret.empty() || !agree(offer.id, id) || !agree(offer.secret, secret)) {
    return false;
  }
  replica->access_key_id = std::string(id);
  replica->secret_access_key = std::string(secret);
  if (replica->session_token.empty()) replica->session_token = offer.token;
  return true;
}

// For the message, when nothing better is found.
void NoteHalf(const std::string& prefix, const Credentials& offer, ReplicaSettings* replica) {
  if (offer.id.empty() == offer.secret.empty() || !replica->half_pair.empty()) return;
  const std::string id = prefix + "ACCESS_KEY_ID";
  const std::string secret = prefix + "SECRET_ACCESS_KEY";
  replica->half_pair =
      offer.secret.empty() ? id + " is set without " + secret : secret + " is set without " + id;
}

// The table's variables for a replica key, the first that is set; notes it.
std::string ReplicaVariable(const SettingsSources& sources, const char* key,
                            ReplicaSettings* replica) {
  for (const char* name : FindKey(Scope::kReplica, key)->variables) {
    std::optional<std::string> value = Variable(sources, name);
    if (!value.has_value()) continue;
    const bool secret = (FindKey(Scope::kReplica, key)->flags & kSecret) != 0;
    Note({key, secret ? "***" : *value, Origin::kEnvironment, name}, &replica->said);
    return *value;
  }
  return "";
}

void ApplyVariables(const SettingsSources& sources, Scope scope, const SettingTarget& target,
                    Problems* problems) {
  for (const Setting& setting : AllSettings()) {
    if (setting.scope != scope) continue;
    for (const char* name : setting.variables) {
      std::optional<std::string> value = Variable(sources, name);
      if (!value.has_value()) continue;
      problems->Add(SetSetting(setting, *value, target, {Origin::kEnvironment, name}), name);
      break;
    }
  }
}

// What the replica has not said itself.
void Inherit(const ReplicaSettings& defaults, const char* key, ReplicaSettings* replica) {
  const Said* said = FindSaid(defaults.said, key);
  if (said != nullptr && FindSaid(replica->said, key) == nullptr) Note(*said, &replica->said);
}

void NoteKeys(const std::string& prefix, ReplicaSettings* replica) {
  for (const auto& [key, name] : {std::pair{"access-key-id", "ACCESS_KEY_ID"},
                                  std::pair{"secret-access-key", "SECRET_ACCESS_KEY"},
                                  std::pair{"session-token", "SESSION_TOKEN"}}) {
    const bool token = std::string_view(key) == "session-token";
    if (FindSaid(replica->said, key) != nullptr || (token && replica->session_token.empty())) {
      continue;
    }
    Note({key, "***", Origin::kEnvironment, prefix + name}, &replica->said);
  }
}

void InheritObjects(const ReplicaSettings& defaults, ReplicaSettings* replica) {
  const bool encrypted = IsEncrypted(replica->objects);
  for (const ObjectKey& each : kObjectKeys) {
    std::string& own = replica->objects.*each.member;
    if (!own.empty() || (each.encrypts && encrypted)) continue;
    own = defaults.objects.*each.member;
    Inherit(defaults, each.key, replica);
  }
}

void FillObjects(const SettingsSources& sources, ReplicaSettings* replica) {
  const bool encrypted = IsEncrypted(replica->objects);
  for (const ObjectKey& each : kObjectKeys) {
    std::string& own = replica->objects.*each.member;
    if (!own.empty() || (each.encrypts && encrypted)) continue;
    own = ReplicaVariable(sources, each.key, replica);
  }
}

}  // namespace

std::optional<std::string> ValueIn(const std::vector<std::string>& environment,
                                   const std::string& name) {
  const std::string start = name + "=";
  for (const std::string& entry : environment) {
    if (entry.starts_with(start)) return entry.substr(start.size());
  }
  return std::nullopt;
}

SettingsSources SourcesOf(std::vector<std::string> environment) {
  const auto kept = std::make_shared<const std::vector<std::string>>(std::move(environment));
  SettingsSources sources;
  sources.getenv = [kept](const std::string& name) { return ValueIn(*kept, name); };
  sources.names = [kept] { return OwnNames(*kept); };
  sources.environment = kept;
  return sources;
}

SettingsSources ProcessSources() {
  std::vector<std::string> environment;
  for (char** entry = Environment(); entry != nullptr && *entry != nullptr; ++entry) {
    environment.emplace_back(*entry);
  }
  return SourcesOf(std::move(environment));
}

std::optional<std::string> Variable(const SettingsSources& sources, const char* name) {
  std::optional<std::string> value = sources.getenv(name);
  return value.has_value() && value->empty() ? std::nullopt : value;
}

void CheckEnvironment(const SettingsSources& sources, Problems* problems) {
  for (const std::string& name : sources.names()) {
    if (std::optional<Status> unknown = UnknownVariable(name)) problems->Add(*unknown);
  }
}

void ApplyProcessVariables(const SettingsSources& sources, Settings* settings, Problems* problems) {
  SettingTarget target;
  target.settings = settings;
  ApplyVariables(sources, Scope::kTop, target, problems);
  ApplyVariables(sources, Scope::kLogging, target, problems);
}

void ApplyDatabaseVariables(const SettingsSources& sources, DatabaseSettings* database,
                            Problems* problems) {
  const std::string path = database->path;
  SettingTarget target;
  target.database = database;
  ApplyVariables(sources, Scope::kDatabase, target, problems);
  database->path = path;
}

void AddDefaults(const ReplicaSettings& defaults, ReplicaSettings* replica) {
  const bool file = replica->type == "file" ||
                    (replica->type.empty() && replica->bucket.empty() && replica->path[0] == '/');
  if (file) return;
  if (replica->bucket.empty()) replica->bucket = defaults.bucket;
  if (replica->endpoint.empty()) replica->endpoint = defaults.endpoint;
  if (!replica->region_given && defaults.region_given) {
    replica->region = defaults.region;
    replica->region_given = true;
  }
  if (!replica->force_path_style_given && defaults.force_path_style_given) {
    replica->force_path_style = defaults.force_path_style;
    replica->force_path_style_given = true;
  }
  replica->skip_verify = replica->skip_verify || defaults.skip_verify;
  if (replica->ca_file.empty()) replica->ca_file = defaults.ca_file;
  InheritObjects(defaults, replica);
  const bool keys = !replica->access_key_id.empty() || !replica->secret_access_key.empty();
  if (!keys && replica->profile.empty()) {
    replica->profile = defaults.profile;
    Inherit(defaults, "profile", replica);
  }
  for (const char* key :
       {"bucket", "endpoint", "region", "force-path-style", "skip-verify", "ca-file"}) {
    Inherit(defaults, key, replica);
  }
  if (!replica->profile.empty()) return;
  if (!Complete({defaults.access_key_id, defaults.secret_access_key, defaults.session_token},
                replica)) {
    return;
  }
  for (const char* key : {"access-key-id", "secret-access-key", "session-token"}) {
    Inherit(defaults, key, replica);
  }
}

void FillCredentials(const SettingsSources& sources, ReplicaSettings* replica) {
  if (replica->type == "file") return;
  replica->environment = sources.environment;
  // A profile that the settings name is what is meant, whatever keys lie about.
  const bool complete = !replica->profile.empty() ||
                        (!replica->access_key_id.empty() && !replica->secret_access_key.empty());
  for (const char* prefix : {"BACKSTAY_", "LITESTREAM_", "AWS_"}) {
    if (complete) break;
    const Credentials offer = FromEnvironment(sources, prefix);
    if (Complete(offer, replica)) {
      NoteKeys(prefix, replica);
      break;
    }
    NoteHalf(prefix, offer, replica);
  }
  if (replica->endpoint.empty()) {
    replica->endpoint = WithScheme(ReplicaVariable(sources, "endpoint", replica));
    while (replica->endpoint.ends_with('/')) replica->endpoint.pop_back();
  }
  if (replica->ca_file.empty()) replica->ca_file = ReplicaVariable(sources, "ca-file", replica);
  FillObjects(sources, replica);
  std::string region = replica->region_given ? "" : ReplicaVariable(sources, "region", replica);
  if (!region.empty()) {
    replica->region = std::move(region);
    replica->region_given = true;
  }
  ChoosePathStyle(replica);
}

}  // namespace backstay
