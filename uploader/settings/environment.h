// The environment's share of the settings.
//
// Called by the parsers of this folder (FillCredentials and ProcessSources, declared in settings.h,
// by everyone). ProcessSources() reads the
// process's variables as unguarded as getenv(3); the rest is for any thread. Errors are kInvalid
// and name the variable.

#ifndef BACKSTAY_UPLOADER_SETTINGS_ENVIRONMENT_H_
#define BACKSTAY_UPLOADER_SETTINGS_ENVIRONMENT_H_

#include <optional>
#include <string>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"

namespace backstay {

// The variable's value; an empty one counts as unset, as in a container's manifest.
std::optional<std::string> Variable(const SettingsSources& sources, const char* name);
// Unknown names.
Status CheckEnvironment(const SettingsSources& sources);
// Overwrites log and drain timeout with what the environment says.
Status ApplyProcessVariables(const SettingsSources& sources, Settings* settings);
// Likewise for one database; the path is left alone.
Status ApplyDatabaseVariables(const SettingsSources& sources, DatabaseSettings* database);
// Fills what the replica leaves open from the JSON file's top level; s3 only.
void AddDefaults(const ReplicaSettings& defaults, ReplicaSettings* replica);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_ENVIRONMENT_H_
