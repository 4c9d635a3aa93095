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

#include "uploader/settings/problems.h"
#include "uploader/settings/settings.h"

namespace backstay {

// The variable's value; an empty one counts as unset, as in a container's manifest.
std::optional<std::string> Variable(const SettingsSources& sources, const char* name);
// Unknown names.
void CheckEnvironment(const SettingsSources& sources, Problems* problems);
// Overwrites log and drain timeout with what the environment says.
void ApplyProcessVariables(const SettingsSources& sources, Settings* settings, Problems* problems);
// Likewise for one database; the path is left alone.
void ApplyDatabaseVariables(const SettingsSources& sources, DatabaseSettings* database,
                            Problems* problems);
// Fills what the replica leaves open from the JSON file's top level; s3 only.
void AddDefaults(const ReplicaSettings& defaults, ReplicaSettings* replica);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_ENVIRONMENT_H_
