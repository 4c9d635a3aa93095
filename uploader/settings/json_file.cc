#include "uploader/settings/json_file.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "uploader/settings/environment.h"
#include "uploader/settings/json_tree.h"
#include "uploader/settings/litestream.h"
#include "uploader/settings/paths.h"
#include "uploader/settings/replica_url.h"
#include "uploader/settings/table.h"
#include "uploader/settings/units.h"
#include "uploader/settings/variables.h"

namespace backstay {
namespace {

Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

// The member, unless it is null, which says as much as leaving it out.
const JsonValue* Given(const JsonValue& object, const std::string& key) {
  const JsonValue* found = object.Member(key);
  return found == nullptr || found->Is(JsonValue::Kind::kNull) ? nullptr : found;
}

class Reader {
 public:
  Reader(const SettingsSources& sources, bool replicas_replaced, Settings* out, Problems* problems)
      : sources_(sources), replicas_replaced_(replicas_replaced), out_(out), problems_(problems) {}

  void Read(const JsonValue& root);

 private:
  // False: it is no object.
  bool CheckKeys(const JsonValue& object, Scope scope, const std::string& place,
                 const std::vector<std::string>& others);
  Status Apply(const JsonValue& value, const Setting& setting, const std::string& place,
               const SettingTarget& target);
  void ApplyScope(const JsonValue& object, Scope scope, const std::string& place,
                  const SettingTarget& target);
  void ReadDefaults(const JsonValue& root);
  void ReadDatabase(const JsonValue& object, const std::string& place);
  void CheckCounts(const std::string& pattern, const std::string& place);
  void ReadReplicas(const JsonValue& object, const std::string& place, DatabaseSettings* database);
  void ReadReplica(const JsonValue& object, const std::string& place, DatabaseSettings* database);
  Status FinishReplicaOf(DatabaseSettings* database, ReplicaSettings* replica);
  Result<std::string> Text(const JsonValue& value, const Setting& setting);

  const SettingsSources& sources_;
  const bool replicas_replaced_;
  Settings* const out_;
  Problems* const problems_;
  std::vector<std::string> places_;  // of the rules
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

bool Reader::CheckKeys(const JsonValue& object, Scope scope, const std::string& place,
                       const std::vector<std::string>& others) {
  if (!object.Is(JsonValue::Kind::kObject)) {
    problems_->Add(WrongType("an object", object), place);
    return false;
  }
  std::vector<std::string> known = KeysOf(scope);
  known.insert(known.end(), others.begin(), others.end());
  for (const auto& [key, value] : object.members) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      std::string shown = Quote(key);
      problems_->Add(Invalid("unknown key" + Suggestion(key, known)),
                     Join(place, shown.substr(1, shown.size() - 2)));
    }
  }
  return true;
}

// The value as the environment would give it.
Result<std::string> Reader::Text(const JsonValue& value, const Setting& setting) {
  if (setting.kind == Kind::kBool && value.Is(JsonValue::Kind::kBoolean)) {
    return std::string(value.boolean ? "true" : "false");
  }
  const bool number = setting.kind == Kind::kBytes || setting.kind == Kind::kCount;
  if (number && value.Is(JsonValue::Kind::kUnsigned)) {
    return std::to_string(value.number);
  }
  // Of what is no text in the file, a variable may still be the value.
  const bool text = value.Is(JsonValue::Kind::kString) &&
                    (setting.kind != Kind::kBool || HasVariable(value.text));
  if (text) return ExpandVariables(sources_, value.text);
  if (setting.kind == Kind::kBool) return WrongType("true or false", value);
  if (setting.kind == Kind::kDuration) return WrongType("a string such as \"5s\"", value);
  if (setting.kind == Kind::kBytes) return WrongType("bytes, or a string as \"64MiB\"", value);
  if (setting.kind == Kind::kCount && value.Is(JsonValue::Kind::kOtherNumber)) {
    return Invalid("must be a whole number that is not negative, or \"off\"");
  }
  if (setting.kind == Kind::kCount) return WrongType("a number, or \"off\"", value);
  return WrongType("a string", value);
}

Status Reader::Apply(const JsonValue& value, const Setting& setting, const std::string& place,
                     const SettingTarget& target) {
  const std::string here = value.place.empty() ? Join(place, setting.key) : value.place;
  Result<std::string> text = Text(value, setting);
  if (!text.ok()) return text.error().Wrap(here);
  if (text->empty()) return Invalid("is empty; give a value or leave the key out").Wrap(here);
  return SetSetting(setting, *text, target, {Origin::kFile, here}).Wrap(here);
}

// In the table's order, not the file's: "url" goes before the keys that refine it.
void Reader::ApplyScope(const JsonValue& object, Scope scope, const std::string& place,
                        const SettingTarget& target) {
  for (const Setting& setting : AllSettings()) {
    if (setting.scope != scope) continue;
    const JsonValue* found = Given(object, setting.key);
    if (found != nullptr) problems_->Add(Apply(*found, setting, place, target));
  }
}

void Reader::ReadDefaults(const JsonValue& root) {
  SettingTarget target;
  target.replica = &out_->replica_defaults;
  target.database = &out_->database_defaults;
  for (const Setting& setting : AllSettings()) {
    const JsonValue* found = Given(root, setting.key);
    if (!IsDefaultToo(setting) || found == nullptr) continue;
    problems_->Add(Apply(*found, setting, "", target));
  }
  ReplicaSettings& defaults = out_->replica_defaults;
  if (defaults.access_key_id.empty() && defaults.secret_access_key.empty()) return;
  FillCredentials(sources_, &defaults);
  if (defaults.access_key_id.empty() != defaults.secret_access_key.empty()) {
    problems_->Add(Invalid("access-key-id and secret-access-key go together; set both or neither"));
  }
}

Status Reader::FinishReplicaOf(DatabaseSettings* database, ReplicaSettings* replica) {
  AddDefaults(out_->replica_defaults, replica);
  FillCredentials(sources_, replica);
  BACKSTAY_TRY(FinishReplica(replica));
  // Each database of a folder goes into a prefix of its own.
  if (!database->folder.empty() && !HasNamePlaceholder(*replica)) {
    replica->path += replica->path.empty() ? "{name}" : "/{name}";
  }
  for (const ReplicaSettings& other : database->replicas) {
    if (Location(other) == Location(*replica)) {
      return Invalid("the same replica is listed twice; remove one");
    }
  }
  return {};
}

void Reader::ReadReplica(const JsonValue& object, const std::string& place,
                         DatabaseSettings* database) {
  const size_t before = problems_->size();
  if (!CheckKeys(object, Scope::kReplica, place, {})) return;
  for (const char* part : {"type", "bucket", "path"}) {
    if (Given(object, "url") == nullptr || Given(object, part) == nullptr) continue;
    problems_->Add(
        Invalid("\"url\" and \"" + std::string(part) + "\" exclude each other; keep one"), place);
  }
  ReplicaSettings replica;
  SettingTarget target;
  target.replica = &replica;
  ApplyScope(object, Scope::kReplica, place, target);
  // What is wrong with a part would be told of the whole once more.
  if (replicas_replaced_ || problems_->size() != before) return;
  problems_->Add(FinishReplicaOf(database, &replica), place);
  database->replicas.push_back(std::move(replica));
}

void Reader::ReadReplicas(const JsonValue& object, const std::string& place,
                          DatabaseSettings* database) {
  const JsonValue* one = Given(object, "replica");
  const JsonValue* many = Given(object, "replicas");
  if (one != nullptr && many != nullptr) {
    return problems_->Add(
        Invalid("\"replica\" and \"replicas\" exclude each other; keep \"replicas\""), place);
  }
  if (one != nullptr) return ReadReplica(*one, Join(place, "replica"), database);
  const std::string list = Join(place, "replicas");
  if (many != nullptr && !many->Is(JsonValue::Kind::kArray)) {
    return problems_->Add(WrongType("an array", *many), list);
  }
  for (size_t i = 0; many != nullptr && i < many->items.size(); ++i) {
    ReadReplica(many->items[i], Index(list, i), database);
  }
  if ((many != nullptr && !many->items.empty()) || replicas_replaced_) return;
  problems_->Add(Invalid("has no replica; add \"replicas\": [{\"url\": \"s3://bucket/prefix\"}]"),
                 place);
}

void Reader::ReadDatabase(const JsonValue& object, const std::string& place) {
  if (!CheckKeys(object, Scope::kDatabase, place, {"replica", "replicas"})) return;
  DatabaseRule rule;
  rule.settings = out_->database_defaults;
  SettingTarget target;
  target.database = &rule.settings;
  const size_t before = problems_->size();
  ApplyScope(object, Scope::kDatabase, place, target);
  if (problems_->size() == before) problems_->Add(FinishFolder(&rule.settings), place);
  rule.pattern = std::move(rule.settings.path);
  rule.settings.path.clear();
  ReadReplicas(object, place, &rule.settings);
  CheckCounts(rule.pattern, place);
  out_->rules.push_back(std::move(rule));
  places_.push_back(place);
}

// The first entry that selects a database counts: one that is never the first would leave its
// replicas without anything.
void Reader::CheckCounts(const std::string& pattern, const std::string& place) {
  if (pattern.empty()) return;
  for (size_t i = 0; i < places_.size(); ++i) {
    const std::string& earlier = out_->rules[i].pattern;
    if (earlier.empty()) continue;
    const std::string both = place + " and " + places_[i];
    if (SamePattern(earlier, pattern)) {
      return problems_->Add(Invalid(both + " name the same database, " + Quote(pattern) +
                                    "; keep one of them, with all its replicas in \"replicas\""));
    }
    if (IsGlob(pattern) || !SelectsPath(earlier, NormalPath(pattern))) continue;
    std::string warning = both;
    warning.append(" both select ").append(Quote(pattern)).append(", and the first counts: what ");
    warning.append(place).append(" says is not used; put it before ").append(places_[i]);
    return out_->warnings.push_back(std::move(warning));
  }
}

void Reader::Read(const JsonValue& root) {
  std::vector<std::string> others = {"dbs", "logging"};
  for (const Setting& setting : AllSettings()) {
    if (IsDefaultToo(setting)) others.push_back(setting.key);
  }
  CheckKeys(root, Scope::kTop, "", others);
  SettingTarget target;
  target.settings = out_;
  ApplyScope(root, Scope::kTop, "", target);
  ReadDefaults(root);
  const JsonValue* logging = Given(root, "logging");
  if (logging != nullptr && CheckKeys(*logging, Scope::kLogging, "logging", {})) {
    ApplyScope(*logging, Scope::kLogging, "logging", target);
  }
  const JsonValue* dbs = Given(root, "dbs");
  if (dbs == nullptr) return;
  if (!dbs->Is(JsonValue::Kind::kArray)) return problems_->Add(WrongType("an array", *dbs), "dbs");
  for (size_t i = 0; i < dbs->items.size(); ++i) ReadDatabase(dbs->items[i], Index("dbs", i));
}

// YAML, with or without quotes around its keys: what Litestream and Terraform's yamlencode() write.
bool LooksLikeYaml(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string::npos && text[first] != '{' && text[first] != '[' &&
         text.find(':') != std::string::npos;
}

// Of a program that writes UTF-16, as some editors do: its mark, or a zero beside the first sign.
bool LooksLikeUtf16(const std::string& text) {
  return text.starts_with("\xff\xfe") || text.starts_with("\xfe\xff") ||
         text.substr(0, 2).find('\0') != std::string::npos;
}

Result<JsonValue> ParseObject(const std::string& text) {
  if (LooksLikeUtf16(text)) {
    return Invalid("the file is UTF-16 or binary; write it as UTF-8 (`iconv -f UTF-16 -t UTF-8`)");
  }
  Result<JsonValue> root = ParseJson(text);
  if (!root.ok() && LooksLikeYaml(text)) {
    return Invalid(root.error().message() +
                   ": it looks like YAML; convert it (`yq -o json litestream.yml`, or jsonencode() "
                   "in place of Terraform's yamlencode())");
  }
  if (root.ok() && !root->Is(JsonValue::Kind::kObject)) {
    return Invalid("the file must hold one JSON object: {\"dbs\": [ … ]}");
  }
  return root;
}

}  // namespace

void ReadSettingsJson(const std::string& text, const std::string& file,
                      const SettingsSources& sources, bool replicas_replaced, Settings* out,
                      Problems* problems) {
  Result<JsonValue> root = ParseObject(text);
  if (!root.ok()) return problems->Add(root.error(), file);
  Problems found;
  TranslateLitestream(&*root, &out->warnings, &found);
  Reader(sources, replicas_replaced, out, &found).Read(*root);
  for (std::string& warning : out->warnings) warning.insert(0, file + ": ");
  for (const std::string& each : found.found()) problems->Add(Invalid(each), file);
}

}  // namespace backstay
