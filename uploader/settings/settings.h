// Settings: what the JSON file, the environment and the URI parameters say, merged and checked.
//
// Made once per engine (and once per command of the tool), then constant; any thread may read.
// Errors are kInvalid and name the key, where it stands (file, variable or parameter) and the
// remedy; never a secret.

#ifndef BACKSTAY_UPLOADER_SETTINGS_SETTINGS_H_
#define BACKSTAY_UPLOADER_SETTINGS_SETTINGS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "uploader/base/status.h"

namespace backstay {

enum class Durability { kAsync, kSync };

// Where a value comes from: a place in the file ("dbs[0].retention"), a variable, or a parameter of
// a URL.
enum class Origin { kFile, kEnvironment, kUrl };
// What somebody said, as it was written; a secret's value is "***". For people.
struct Said {
  std::string key;
  std::string value;
  Origin origin = Origin::kFile;
  std::string at;
};

// How the objects of an s3 replica are stored and asked for, as S3 calls it; what is empty is not
// sent.
struct ObjectSettings {
  std::string storage_class;   // "STANDARD_IA"
  std::string sse;             // "AES256" or "aws:kms"
  std::string sse_kms_key_id;  // with aws:kms; empty: the account's own key
  std::string sse_c_key;       // a secret: 32 bytes in Base64
  std::string tags;            // "team=data&stage=prod"
  std::string request_payer;   // "requester"

  bool operator==(const ObjectSettings&) const = default;
};

struct ReplicaSettings {
  std::string type;      // "s3" or "file"
  std::string bucket;    // s3
  std::string path;      // s3: prefix without slashes at either end; file: absolute folder
  std::string endpoint;  // s3: "http://127.0.0.1:9000"; empty for AWS
  std::string region = "us-east-1";
  std::string access_key_id;  // empty: credentials chain
  std::string secret_access_key;
  std::string session_token;
  std::string half_pair;  // for people: half of the credentials that the environment holds, or ""
  std::string profile;  // of AWS's shared files, which holds the credentials; empty: none is named
  // As the settings were read from it, for what AWS's variables say; null: not known.
  std::shared_ptr<const std::vector<std::string>> environment = nullptr;
  std::string ca_file;  // in place of the system's CA certificates; empty: those
  bool force_path_style = false;
  bool skip_verify = false;  // TLS
  ObjectSettings objects = {};
  std::string name;  // for people, and to choose one of several
  std::vector<Said> said;
  // Written down somewhere, not the default: then the environment leaves it alone.
  bool region_given = false;
  bool force_path_style_given = false;
  // "s3://bucket/prefix" or "file:///dir": for logs and status, never a secret
  std::string Describe() const;
};

struct DatabaseSettings {
  std::string path;  // absolute, without a pattern
  // Of a rule that was given as a folder and a pattern: `{name}` is the path below it.
  std::string folder;
  std::string folder_pattern;
  bool recursive = false;
  std::vector<ReplicaSettings> replicas;
  Durability durability = Durability::kAsync;
  int64_t sync_timeout_ms = 5000;
  int64_t min_interval_ms = 250;                  // between the starts of two PUTs
  uint64_t max_requests = 500000;                 // a month, in PUTs; 0: no limit
  bool sync_wal = true;                           // fdatasync the WAL before a PUT
  uint64_t outbox_limit = 64 << 20;               // bytes
  uint64_t page_cache = 8 << 20;                  // bytes
  int64_t retention_ms = 7LL * 24 * 3600 * 1000;  // 0: nothing is deleted
  int64_t snapshot_interval_ms = 0;               // 0: by the size of the log alone
  std::vector<Said> said;
};

struct LogSettings {
  std::string level = "info";  // debug, info, warn, error
  std::string type = "json";   // json, text
  std::string file;            // empty: stderr
};

// A database that the configuration selects: `path` may be a glob, `{name}` in URLs stands for the
// file name.
struct DatabaseRule {
  std::string pattern;  // empty: every database (extension with only BACKSTAY_REPLICA_URL set)
  DatabaseSettings settings;
};

struct Settings {
  std::vector<DatabaseRule> rules;
  LogSettings log;
  int64_t drain_timeout_ms = 5000;
  int64_t close_timeout_ms = 2000;
  bool drain_on_sigterm = false;
  std::string metrics_folder;  // empty: none
  std::string heartbeat_url;   // a secret; empty: none
  int64_t heartbeat_interval_ms = 5 * 60 * 1000;
  ReplicaSettings replica_defaults;    // the file's top-level endpoint, credentials, …
  DatabaseSettings database_defaults;  // its top-level retention, durability, …
  std::vector<Said> said;
  std::vector<std::string> warnings;  // sentences, each with the remedy
};

// The seams: tests give their own environment and file reader.
struct SettingsSources {
  // Value of an environment variable, or nullopt.
  std::function<std::optional<std::string>(const std::string& name)> getenv;
  // All variables whose names start with BACKSTAY_, to find unknown ones.
  std::function<std::vector<std::string>()> names;
  // All of it, NAME=value; null: not known.
  std::shared_ptr<const std::vector<std::string>> environment = nullptr;
  // Path of the JSON file given on a command line; empty: BACKSTAY_CONFIG, else /etc/backstay.json
  // if it exists.
  std::string config_file;
  std::string config_option = "-config";  // what an error calls it
  std::string default_config_file = "/etc/backstay.json";
};
std::optional<std::string> ValueIn(const std::vector<std::string>& environment,
                                   const std::string& name);
// An environment of texts NAME=value.
SettingsSources SourcesOf(std::vector<std::string> environment);
// The environment as it is at the call.
SettingsSources ProcessSources();

// `problems`: if not NULL, gets what the error sums up.
Result<Settings> LoadSettings(const SettingsSources& sources,
                              std::vector<std::string>* problems = nullptr);

// Settings for one database: the first rule that matches `path`, overridden by URI parameters
// (`replica_url` when not empty, then name/value pairs). kNotFound when nothing selects it.
Result<DatabaseSettings> SettingsFor(
    const Settings& settings, const SettingsSources& sources, const std::string& path,
    const std::string& replica_url,
    const std::vector<std::pair<std::string, std::string>>& parameters);

// What the environment alone says of a database; its variables are checked.
Result<DatabaseSettings> EnvironmentSettings(const SettingsSources& sources);

// "s3://bucket/prefix?endpoint=…&region=…&force-path-style=true" or "file:///dir". `{name}` is
// replaced by `name` unless that is empty.
Result<ReplicaSettings> ParseReplicaUrl(const std::string& url, const std::string& name);
// Fills empty keys of an s3 replica from BACKSTAY_…, LITESTREAM_… and AWS_… variables, in this
// order.
void FillCredentials(const SettingsSources& sources, ReplicaSettings* replica);

// The configuration table of the manual, in Markdown, made from what the parsers use.
std::string SettingsTable();

// "250ms", "5s", "1m30s", "1h", "7d"; a bare number is refused.
Result<int64_t> ParseDurationMs(const std::string& text);
// "64MiB", "4KiB", "1GiB", or bytes as a bare number.
Result<uint64_t> ParseBytes(const std::string& text);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_SETTINGS_H_
