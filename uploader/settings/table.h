// The one list of settings: names, default, meaning and parser of each.
//
// Called by the parsers of this folder; SettingsTable() (settings.h) prints it for the manual. Any
// thread, constant. Setters fail with kInvalid; the caller adds where the value stands.

#ifndef BACKSTAY_UPLOADER_SETTINGS_TABLE_H_
#define BACKSTAY_UPLOADER_SETTINGS_TABLE_H_

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"

namespace backstay {

// Where a key stands in the JSON file.
enum class Scope { kTop, kLogging, kDatabase, kReplica, kEnvironmentOnly };

// What the JSON value must be.
enum class Kind { kText, kDuration, kBytes, kCount, kBool };

// What setters write to; they touch only the member of their scope.
struct SettingTarget {
  Settings* settings = nullptr;
  DatabaseSettings* database = nullptr;
  ReplicaSettings* replica = nullptr;
};

enum SettingFlag : unsigned {
  kSecret = 1,
  kInUrl = 2,        // may stand in the query of a replica URL
  kTopLevelToo = 4,  // the file's top level may give it for every replica
  kOneDatabase = 8,  // …what is said of a database, it may, too, but not this
};

struct Setting {
  Scope scope;
  const char* key;  // JSON
  Kind kind;
  std::vector<const char*> variables;  // environment, the first that is set counts
  const char* parameter;               // of the SQLite URI, or ""
  const char* standard;                // the default, as it would be written, or ""
  const char* help;
  Status (*set)(const std::string& value, const SettingTarget& target);
  unsigned flags;  // of SettingFlag
};

// Where a value stands.
struct Place {
  Origin origin;
  std::string at;
};
// Sets the value and notes in the target who said it.
Status SetSetting(const Setting& setting, const std::string& value, const SettingTarget& target,
                  const Place& place);
// Replaces what was said of the same key before.
void Note(Said said, std::vector<Said>* all);
// NULL: nobody has said it.
const Said* FindSaid(const std::vector<Said>& all, const std::string& key);

// Of no setting: `backstay verify` reads it. A library may find it in an environment that both
// share.
inline constexpr const char* kPingUrlVariable = "BACKSTAY_PING_URL";

// Makes the list, in the order of the manual; AllSettings() keeps one.
std::vector<Setting> SettingRows();
std::span<const Setting> AllSettings();
// "dbs[].replicas[].url"; empty: it is no key of the file.
std::string JsonPlace(const Setting& setting);
// The file's top level may give it, as the default of all databases or replicas.
bool IsDefaultToo(const Setting& setting);
const Setting* FindKey(Scope scope, const std::string& key);
const Setting* FindUrlParameter(const std::string& name);
const Setting* FindUriParameter(const std::string& name);
std::vector<std::string> KeysOf(Scope scope);
Status UnknownUrlParameter(const std::string& name, const std::string& scheme);
Status UnknownUriParameter(const std::string& name);
// nullopt when the variable is a setting, or none of ours: BACKSTAY_TEST_…, or what Kubernetes puts
// into every container for a Service named backstay.
std::optional<Status> UnknownVariable(const std::string& name);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_TABLE_H_
