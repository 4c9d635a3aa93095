#include "uploader/settings/litestream.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "uploader/settings/settings.h"
#include "uploader/settings/units.h"

namespace backstay {
namespace {

using Kind = JsonValue::Kind;

// A key, and what the operator should know of it.
struct Foreign {
  const char* key;
  const char* remedy;
};

// They steer a process beside the application, or objects, that Backstay does not have.
constexpr Foreign kIgnoredAtTop[] = {
    {"addr", "`backstay status` tells how it stands"},
    {"exec", "`backstay run -- PROGRAM` starts a program"},
    {"l0-retention", ""},
    {"l0-retention-check-interval", ""},
    {"levels", ""},
    {"mcp-addr", ""},
    {"shutdown-sync-interval", ""},
    {"socket", ""},
    {"validation", "`backstay restore` proves what it restores"},
    {"verify-compaction", ""},
};
constexpr Foreign kIgnoredOfDatabase[] = {
    {"busy-timeout", ""},
    {"checkpoint-interval", ""},
    {"max-checkpoint-page-count", ""},
    {"max-sync-wal-bytes", ""},
    {"meta-dir", "the state lies beside the database"},
    {"meta-path", "the state lies beside the database"},
    {"min-checkpoint-page-count", ""},
    {"monitor-interval", ""},
    {"shadow-retention-n", ""},
    {"truncate-page-n", ""},
};
constexpr Foreign kIgnoredOfReplica[] = {
    {"account-key", ""},
    {"account-name", ""},
    {"auto-recover", ""},
    {"client-cert", ""},
    {"client-key", ""},
    {"concurrency", ""},
    {"concurrent-writes", ""},
    {"creds", ""},
    {"host", ""},
    {"host-key", ""},
    {"jwt", ""},
    {"key-path", ""},
    {"max-reconnects", ""},
    {"max-sync-ltx-files", ""},
    {"nkey", ""},
    {"part-size", ""},
    {"password", ""},
    {"reconnect-wait", ""},
    {"require-content-md5", ""},
    {"retention-check-interval", ""},
    {"root-cas", ""},
    {"sas-token", ""},
    {"seed", ""},
    {"sign-payload", ""},
    {"timeout", ""},
    {"tls", ""},
    {"token", ""},
    {"user", ""},
    {"username", ""},
    {"validation-interval", "`backstay restore` proves what it restores"},
    {"webdav-password", ""},
    {"webdav-url", ""},
    {"webdav-username", ""},
};

constexpr char kNotEncrypted[] =
    "Backstay does not encrypt, and what it ships would lie there readable; take the key out if "
    "the encryption of the bucket is enough";
constexpr Foreign kRefusedOfReplica[] = {
    {"age", kNotEncrypted},
    {"sse-customer-key-path",
     "no file of a key is read; give the key itself in sse-c-key, or BACKSTAY_SSE_C_KEY"},
};
constexpr char kNotRestored[] =
    "nothing is restored by the library, and an application that begins with an empty database "
    "would not be replicated; take the key out, and start it with `backstay run -restore -- "
    "PROGRAM`, or behind `backstay restore -if-db-not-exists -if-replica-exists`";

std::string Join(const std::string& place, const std::string& key) {
  return place.empty() ? key : place + "." + key;
}

// Left out, or as good as that: null, "", false, {} and [].
bool SaysNothing(const JsonValue* value) {
  if (value == nullptr) return true;
  switch (value->kind) {
    case Kind::kNull: return true;
    case Kind::kBoolean: return !value->boolean;
    case Kind::kString: return value->text.empty();
    case Kind::kArray: return value->items.empty();
    case Kind::kObject:
      return std::all_of(value->members.begin(), value->members.end(),
                         [](const auto& member) { return SaysNothing(&member.second); });
    default: return false;
  }
}

// Of a default that is longer than all that can be said.
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();

// "forcePathStyle" is as good as "force-path-style" in a URL of Litestream's.
std::string WithHyphens(std::string_view name) {
  std::string out;
  for (size_t i = 0; i < name.size(); ++i) {
    const bool upper = name[i] >= 'A' && name[i] <= 'Z';
    if (upper && i > 0 && !(name[i - 1] >= 'A' && name[i - 1] <= 'Z')) out += '-';
    out += name[i];
  }
  return LowerCase(out);
}

class Translator {
 public:
  explicit Translator(Problems* problems) : problems_(problems) {}

  void Root(JsonValue* root) {
    Rename(root, "shutdown-sync-timeout", "drain-timeout", "");
    Snapshot(root, "");
    RetentionSwitch(root);
    Rename(root, "sync-interval", "min-interval", "");
    general_retention_ = General(*root, "retention");
    general_interval_ = General(*root, "min-interval");
    general_snapshots_ = General(*root, "snapshot-interval");
    Refuse(root, kRefusedOfReplica, "");
    Encryption(root, "");
    Ignore(root, kIgnoredAtTop, "");
    Ignore(root, kIgnoredOfReplica, "");
    if (JsonValue* logging = Object(root, "logging")) Logging(logging);
    JsonValue* dbs = Array(root, "dbs");
    for (size_t i = 0; dbs != nullptr && i < dbs->items.size(); ++i) {
      if (dbs->items[i].Is(Kind::kObject)) {
        Database(&dbs->items[i], "dbs[" + std::to_string(i) + "]");
      }
    }
  }

  std::vector<std::string> Warnings() const {
    std::vector<std::string> warnings = warnings_;
    if (ignored_.empty()) return warnings;
    warnings.push_back("ignored, since Backstay has no use for them: " + ignored_ +
                       "; remedy: take them out");
    return warnings;
  }

 private:
  static JsonValue* Find(JsonValue* object, const char* key, Kind kind) {
    const auto found = object->members.find(key);
    return found != object->members.end() && found->second.Is(kind) ? &found->second : nullptr;
  }
  static JsonValue* Object(JsonValue* from, const char* key) {
    return Find(from, key, Kind::kObject);
  }
  static JsonValue* Array(JsonValue* from, const char* key) {
    return Find(from, key, Kind::kArray);
  }

  void Name(const std::string& place, const char* remedy) {
    ignored_ += (ignored_.empty() ? "" : ", ") + place;
    if (*remedy != '\0') ignored_ += std::string(" (") + remedy + ")";
  }

  template <size_t n>
  void Ignore(JsonValue* object, const Foreign (&keys)[n], const std::string& place) {
    for (const Foreign& each : keys) {
      const auto found = object->members.find(each.key);
      if (found == object->members.end()) continue;
      if (!found->second.Is(Kind::kNull)) Name(Join(place, each.key), each.remedy);
      object->members.erase(found);
    }
  }

  template <size_t n>
  void Refuse(JsonValue* object, const Foreign (&keys)[n], const std::string& place) {
    for (const Foreign& each : keys) {
      const auto found = object->members.find(each.key);
      if (found == object->members.end()) continue;
      if (!SaysNothing(&found->second)) {
        problems_->Add({Code::kInvalid, each.remedy}, Join(place, each.key));
      }
      object->members.erase(found);
    }
  }

  // Takes the member out; null when it says nothing.
  static JsonValue Take(JsonValue* object, const char* key, const std::string& place) {
    auto node = object->members.extract(key);
    if (node.empty()) return {};
    JsonValue value = std::move(node.mapped());
    value.place = Join(place, key);
    return value;
  }

  // `value` becomes the member `key` of `object`, unless that says something itself.
  void Put(JsonValue value, JsonValue* object, const char* key) {
    if (value.Is(Kind::kNull)) return;
    JsonValue& own = object->members[key];
    if (!own.Is(Kind::kNull)) return Name(value.place, "another key says it");
    own = std::move(value);
  }

  void Rename(JsonValue* object, const char* from, const char* to, const std::string& place) {
    Put(Take(object, from, place), object, to);
  }

  void Encryption(JsonValue* object, const std::string& place) {
    const JsonValue algorithm = Take(object, "sse-customer-algorithm", place);
    if (!SaysNothing(&algorithm) && algorithm.text != "AES256") {
      problems_->Add({Code::kInvalid, "is not AES256, which alone there is"}, algorithm.place);
    }
    Rename(object, "sse-customer-key", "sse-c-key", place);
    for (const char* key : {"storage-class", "sse-kms-key-id", "sse-c-key"}) {
      const auto found = object->members.find(key);
      if (found != object->members.end() && SaysNothing(&found->second)) object->members.erase(key);
    }
  }

  void Snapshot(JsonValue* object, const std::string& place) {
    JsonValue* snapshot = Object(object, "snapshot");
    if (snapshot == nullptr) return;
    const std::string inside = Join(place, "snapshot");
    JsonValue retention = Take(snapshot, "retention", inside);
    JsonValue interval = Take(snapshot, "interval", inside);
    if (snapshot->members.empty()) object->members.erase("snapshot");
    Put(std::move(retention), object, "retention");
    Put(std::move(interval), object, "snapshot-interval");
  }

  // {"retention": {"enabled": false}}: nothing is ever deleted.
  void RetentionSwitch(JsonValue* root) {
    JsonValue* retention = Object(root, "retention");
    if (retention == nullptr) return;
    JsonValue* enabled = Find(retention, "enabled", Kind::kBoolean);
    if (enabled == nullptr || retention->members.size() != 1) return;
    if (enabled->boolean) {
      root->members.erase("retention");
      return;
    }
    *retention = {};
    retention->kind = Kind::kString;
    retention->text = "off";
    retention->place = "retention.enabled";
    warnings_.push_back(
        "retention.enabled: nothing is deleted from the replica; let no lifecycle rule delete by "
        "age there either, since the newest state may rest on old objects; remedy: `backstay "
        "prune`, or a retention");
  }

  void Logging(JsonValue* logging) {
    constexpr Foreign kSource[] = {{"source", ""}};
    Ignore(logging, kSource, "logging");
    constexpr std::array<std::array<const char*, 3>, 2> kWords = {
        {{"level", "trace", "debug"}, {"type", "pretty", "text"}}};
    for (const auto& [key, theirs, ours] : kWords) {
      JsonValue* value = Find(logging, key, Kind::kString);
      if (value != nullptr && LowerCase(value->text) == theirs) value->text = ours;
    }
  }

  void Database(JsonValue* database, const std::string& place) {
    Snapshot(database, place);
    Ignore(database, kIgnoredOfDatabase, place);
    // What is opened later is replicated in any case.
    database->members.erase("watch");
    constexpr Foreign kRestore[] = {{"restore-if-db-not-exists", kNotRestored}};
    Refuse(database, kRestore, place);
    std::vector<std::pair<JsonValue*, std::string>> replicas;
    if (JsonValue* one = Object(database, "replica"))
      replicas.emplace_back(one, place + ".replica");
    JsonValue* many = Array(database, "replicas");
    for (size_t i = 0; many != nullptr && i < many->items.size(); ++i) {
      replicas.emplace_back(&many->items[i], place + ".replicas[" + std::to_string(i) + "]");
    }
    std::vector<JsonValue> retentions;
    std::vector<JsonValue> intervals;
    std::vector<JsonValue> snapshots;
    for (auto& [replica, at] : replicas) {
      if (!replica->Is(Kind::kObject)) continue;
      Refuse(replica, kRefusedOfReplica, at);
      Encryption(replica, at);
      Ignore(replica, kIgnoredOfReplica, at);
      if (JsonValue* url = Find(replica, "url", Kind::kString)) Url(&url->text, at + ".url");
      retentions.push_back(Take(replica, "retention", at));
      intervals.push_back(Take(replica, "sync-interval", at));
      snapshots.push_back(Take(replica, "snapshot-interval", at));
    }
    // Of several replicas the one that is protected best.
    Put(Choose(std::move(retentions), general_retention_, true), database, "retention");
    Put(Choose(std::move(intervals), general_interval_, false), database, "min-interval");
    Put(Choose(std::move(snapshots), general_snapshots_, false, kNever), database,
        "snapshot-interval");
  }

  // Its parameters are keys of the replica.
  void Url(std::string* url, const std::string& place) {
    const size_t question = url->find('?');
    if (question == std::string::npos) return;
    std::string_view rest = std::string_view(*url).substr(question + 1);
    JsonValue parameters;
    std::string kept;
    while (!rest.empty()) {
      const std::string_view pair = rest.substr(0, rest.find('&'));
      rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
      const size_t equals = std::min(pair.find('='), pair.size());
      const std::string name = WithHyphens(pair.substr(0, equals));
      parameters.members.clear();
      JsonValue& value = parameters.members[name];
      value.kind = Kind::kString;
      value.text = pair.substr(std::min(equals + 1, pair.size()));
      Refuse(&parameters, kRefusedOfReplica, place);
      Ignore(&parameters, kIgnoredOfReplica, place);
      if (parameters.members.empty()) continue;
      kept += (kept.empty() ? "?" : "&") + name + std::string(pair.substr(equals));
    }
    *url = url->substr(0, question) + kept;
  }

  // The longest, or the shortest, of what the replicas say; one that is no duration before all, so
  // that it is told. A replica that says none has the general one, or the default, which is
  // `unsaid_ms` in this order; so is a said 0.
  JsonValue Choose(std::vector<JsonValue> values, const JsonValue& general, bool longest,
                   int64_t unsaid_ms = 0) {
    std::optional<size_t> chosen;
    int64_t best = 0;
    for (size_t i = 0; i < values.size(); ++i) {
      if (values[i].Is(Kind::kNull)) values[i] = general;
      const bool unsaid = values[i].Is(Kind::kNull);
      const Result<int64_t> parsed = unsaid ? Result<int64_t>(0) : ParseDurationMs(values[i].text);
      if (!parsed.ok()) return std::move(values[i]);
      const int64_t ms = *parsed == 0 ? unsaid_ms : *parsed;
      if (chosen && (longest ? ms <= best : ms >= best)) continue;
      best = ms;
      chosen = i;
    }
    for (size_t i = 0; chosen && i < values.size(); ++i) {
      const bool general_one = values[i].Is(Kind::kNull) || values[i].place == general.place;
      if (general_one || values[i].text == values[*chosen].text) continue;
      Name(values[i].place, "another replica's goes further");
    }
    return chosen ? std::move(values[*chosen]) : JsonValue();
  }

  static JsonValue General(const JsonValue& root, const char* key) {
    const JsonValue* found = root.Member(key);
    if (found == nullptr || !found->Is(Kind::kString)) return {};
    JsonValue general = *found;
    if (general.place.empty()) general.place = key;
    return general;
  }

  Problems* const problems_;
  JsonValue general_retention_;
  JsonValue general_interval_;
  JsonValue general_snapshots_;
  std::string ignored_;
  std::vector<std::string> warnings_;
};

}  // namespace

void TranslateLitestream(JsonValue* root, std::vector<std::string>* warnings, Problems* problems) {
  Translator translator(problems);
  translator.Root(root);
  *warnings = translator.Warnings();
}

}  // namespace backstay
