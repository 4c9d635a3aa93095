#include "uploader/settings/json_file.h"

#include <algorithm>
#include <vector>

#include "uploader/settings/environment.h"
#include "uploader/settings/json_tree.h"
#include "uploader/settings/replica_url.h"
#include "uploader/settings/table.h"
#include "uploader/settings/units.h"

namespace backstay {
namespace {

Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

// What a '$' in a text stands for.
struct Reference {
  std::string name;
  bool escaped = false;  // "$$": a '$'
  size_t end = 0;        // behind it; npos: a brace is open
};

bool StartsName(const std::string& text, size_t at) {
  return at < text.size() && (text[at] == '_' || (text[at] >= 'A' && text[at] <= 'Z') ||
                              (text[at] >= 'a' && text[at] <= 'z'));
}

std::optional<Reference> ReferenceAt(const std::string& text, size_t at) {
  const auto refers = [&](size_t i) {
    return i < text.size() && (text[i] == '{' || StartsName(text, i));
  };
  if (text[at] != '$') return std::nullopt;
  if (at + 1 < text.size() && text[at + 1] == '$' && refers(at + 2)) {
    return Reference{"", true, at + 2};
  }
  if (!refers(at + 1)) return std::nullopt;
  if (text[at + 1] == '{') {
    const size_t close = text.find('}', at);
    if (close == std::string::npos) return Reference{"", false, close};
    return Reference{text.substr(at + 2, close - at - 2), false, close + 1};
  }
  size_t end = at + 1;
  while (StartsName(text, end) || (end < text.size() && text[end] >= '0' && text[end] <= '9')) {
    ++end;
  }
  return Reference{text.substr(at + 1, end - at - 1), false, end};
}

// The member, unless it is null, which says as much as leaving it out.
const JsonValue* Given(const JsonValue& object, const std::string& key) {
  const JsonValue* found = object.Member(key);
  return found == nullptr || found->Is(JsonValue::Kind::kNull) ? nullptr : found;
}

class Reader {
 public:
  Reader(const SettingsSources& sources, bool replicas_replaced, Settings* out)
      : sources_(sources), replicas_replaced_(replicas_replaced), out_(out) {}

  Status Read(const JsonValue& root);

 private:
  Status CheckKeys(const JsonValue& object, Scope scope, const std::string& place,
                   const std::vector<std::string>& others);
  Status Apply(const JsonValue& value, const Setting& setting, const std::string& place,
               const SettingTarget& target);
  Status ApplyScope(const JsonValue& object, Scope scope, const std::string& place,
                    const SettingTarget& target);
  Status ReadDefaults(const JsonValue& root);
  Status ReadDatabase(const JsonValue& object, const std::string& place);
  Status ReadReplicas(const JsonValue& object, const std::string& place,
                      DatabaseSettings* database);
  Status ReadReplica(const JsonValue& object, const std::string& place, DatabaseSettings* database);
  Result<std::string> Expand(const std::string& text);
  Result<std::string> Text(const JsonValue& value, const Setting& setting);

  const SettingsSources& sources_;
  const bool replicas_replaced_;
  Settings* const out_;
};

std::string Join(const std::string& place, const std::string& key) {
  return place.empty() ? key : place + "." + key;
}

std::string Index(const std::string& place, size_t i) {
  return place + "[" + std::to_string(i) + "]";
}

Status WrongType(const char* wanted, const JsonValue& value) {
  return Invalid(std::string("must be ") + wanted + ", is " + value.TypeName());
}

Status Reader::CheckKeys(const JsonValue& object, Scope scope, const std::string& place,
                         const std::vector<std::string>& others) {
  if (!object.Is(JsonValue::Kind::kObject)) return WrongType("an object", object).Wrap(place);
  std::vector<std::string> known = KeysOf(scope);
  known.insert(known.end(), others.begin(), others.end());
  for (const auto& [key, value] : object.members) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      std::string shown = Quote(key);
      return Invalid("unknown key" + Suggestion(key, known))
          .Wrap(Join(place, shown.substr(1, shown.size() - 2)));
    }
  }
  return {};
}

// A '$' that neither a name nor a brace follows stands for itself, "$$" before one for "$".
Result<std::string> Reader::Expand(const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const std::optional<Reference> reference = ReferenceAt(text, at);
    if (!reference) {
      out += text[at++];
      continue;
    }
    if (reference->end == std::string::npos) {
      return Invalid("\"${\" has no \"}\"; write \"$${\" for \"${\"");
    }
    at = reference->end;
    if (reference->escaped) {
      out += '$';
      continue;
    }
    std::optional<std::string> value = sources_.getenv(reference->name);
    if (!value.has_value()) {
      return Invalid("environment variable " + Quote(reference->name) +
                     " is not set; set it, or write \"$$\" for \"$\"");
    }
    out += *value;
  }
  return out;
}

// The value as the environment would give it.
Result<std::string> Reader::Text(const JsonValue& value, const Setting& setting) {
  if (setting.kind == Kind::kBool) {
    if (!value.Is(JsonValue::Kind::kBoolean)) return WrongType("true or false", value);
    return std::string(value.boolean ? "true" : "false");
  }
  if (setting.kind == Kind::kBytes && value.Is(JsonValue::Kind::kUnsigned)) {
    return std::to_string(value.number);
  }
  if (!value.Is(JsonValue::Kind::kString)) {
    if (setting.kind == Kind::kDuration) return WrongType("a string such as \"5s\"", value);
    if (setting.kind == Kind::kBytes) return WrongType("bytes, or a string as \"64MiB\"", value);
    return WrongType("a string", value);
  }
  return Expand(value.text);
}

Status Reader::Apply(const JsonValue& value, const Setting& setting, const std::string& place,
                     const SettingTarget& target) {
  Result<std::string> text = Text(value, setting);
  if (!text.ok()) return text.error().Wrap(Join(place, setting.key));
  if (text->empty()) {
    return Invalid("is empty; give a value or leave the key out").Wrap(Join(place, setting.key));
  }
  return setting.set(*text, target).Wrap(Join(place, setting.key));
}

// In the table's order, not the file's: "url" goes before the keys that refine it.
Status Reader::ApplyScope(const JsonValue& object, Scope scope, const std::string& place,
                          const SettingTarget& target) {
  for (const Setting& setting : AllSettings()) {
    if (setting.scope != scope) continue;
    const JsonValue* found = Given(object, setting.key);
    if (found != nullptr) BACKSTAY_TRY(Apply(*found, setting, place, target));
  }
  return {};
}

Status Reader::ReadDefaults(const JsonValue& root) {
  SettingTarget target;
  target.replica = &out_->replica_defaults;
  for (const Setting& setting : AllSettings()) {
    const JsonValue* found = Given(root, setting.key);
    if ((setting.flags & kTopLevelToo) == 0 || found == nullptr) continue;
    BACKSTAY_TRY(Apply(*found, setting, "", target));
  }
  ReplicaSettings& defaults = out_->replica_defaults;
  if (defaults.access_key_id.empty() && defaults.secret_access_key.empty()) return {};
  FillCredentials(sources_, &defaults);
  if (defaults.access_key_id.empty() != defaults.secret_access_key.empty()) {
    return Invalid("access-key-id and secret-access-key go together; set both or neither");
  }
  return {};
}

Status Reader::ReadReplica(const JsonValue& object, const std::string& place,
                           DatabaseSettings* database) {
  BACKSTAY_TRY(CheckKeys(object, Scope::kReplica, place, {}));
  for (const char* part : {"type", "bucket", "path"}) {
    if (Given(object, "url") != nullptr && Given(object, part) != nullptr) {
      return Invalid("\"url\" and \"" + std::string(part) + "\" exclude each other; keep one")
          .Wrap(place);
    }
  }
  ReplicaSettings replica;
  SettingTarget target;
  target.replica = &replica;
  BACKSTAY_TRY(ApplyScope(object, Scope::kReplica, place, target));
  if (replicas_replaced_) return {};
  AddDefaults(out_->replica_defaults, &replica);
  FillCredentials(sources_, &replica);
  BACKSTAY_TRY(FinishReplica(&replica).Wrap(place));
  for (const ReplicaSettings& other : database->replicas) {
    if (Location(other) == Location(replica)) {
      return Invalid("the same replica is listed twice; remove one").Wrap(place);
    }
  }
  database->replicas.push_back(std::move(replica));
  return {};
}

Status Reader::ReadReplicas(const JsonValue& object, const std::string& place,
                            DatabaseSettings* database) {
  const JsonValue* one = Given(object, "replica");
  const JsonValue* many = Given(object, "replicas");
  if (one != nullptr && many != nullptr) {
    return Invalid("\"replica\" and \"replicas\" exclude each other; keep \"replicas\"")
        .Wrap(place);
  }
  if (one != nullptr) return ReadReplica(*one, Join(place, "replica"), database);
  const std::string list = Join(place, "replicas");
  if (many != nullptr) {
    if (!many->Is(JsonValue::Kind::kArray)) return WrongType("an array", *many).Wrap(list);
    for (size_t i = 0; i < many->items.size(); ++i) {
      BACKSTAY_TRY(ReadReplica(many->items[i], Index(list, i), database));
    }
  }
  if (!database->replicas.empty() || replicas_replaced_) return {};
  return Invalid("has no replica; add \"replicas\": [{\"url\": \"s3://bucket/prefix\"}]")
      .Wrap(place);
}

Status Reader::ReadDatabase(const JsonValue& object, const std::string& place) {
  BACKSTAY_TRY(CheckKeys(object, Scope::kDatabase, place, {"replica", "replicas"}));
  DatabaseRule rule;
  SettingTarget target;
  target.database = &rule.settings;
  BACKSTAY_TRY(ApplyScope(object, Scope::kDatabase, place, target));
  rule.pattern = std::move(rule.settings.path);
  rule.settings.path.clear();
  if (rule.pattern.empty() || rule.pattern[0] != '/') {
    return Invalid(rule.pattern.empty()
                       ? "\"path\" is missing; give the database's absolute path"
                       : "path " + Quote(rule.pattern) + " is relative; write an absolute one")
        .Wrap(place);
  }
  BACKSTAY_TRY(ReadReplicas(object, place, &rule.settings));
  out_->rules.push_back(std::move(rule));
  return {};
}

Status Reader::Read(const JsonValue& root) {
  std::vector<std::string> others = {"dbs", "logging"};
  for (const Setting& setting : AllSettings()) {
    if ((setting.flags & kTopLevelToo) != 0) others.push_back(setting.key);
  }
  BACKSTAY_TRY(CheckKeys(root, Scope::kTop, "", others));
  SettingTarget target;
  target.settings = out_;
  BACKSTAY_TRY(ApplyScope(root, Scope::kTop, "", target));
  BACKSTAY_TRY(ReadDefaults(root));
  if (const JsonValue* logging = Given(root, "logging"); logging != nullptr) {
    BACKSTAY_TRY(CheckKeys(*logging, Scope::kLogging, "logging", {}));
    BACKSTAY_TRY(ApplyScope(*logging, Scope::kLogging, "logging", target));
  }
  const JsonValue* dbs = Given(root, "dbs");
  if (dbs == nullptr) return {};
  if (!dbs->Is(JsonValue::Kind::kArray)) return WrongType("an array", *dbs).Wrap("dbs");
  for (size_t i = 0; i < dbs->items.size(); ++i) {
    BACKSTAY_TRY(ReadDatabase(dbs->items[i], Index("dbs", i)));
  }
  return {};
}

}  // namespace

Status ReadSettingsJson(const std::string& text, const SettingsSources& sources,
                        bool replicas_replaced, Settings* out) {
  Result<JsonValue> root = ParseJson(text);
  if (!root.ok()) return root.error();
  if (!root->Is(JsonValue::Kind::kObject)) {
    return Invalid("the file must hold one JSON object: {\"dbs\": [ … ]}");
  }
  return Reader(sources, replicas_replaced, out).Read(*root);
}

}  // namespace backstay
