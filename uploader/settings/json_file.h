// The JSON file: Litestream's shape, read strictly.
//
// Called by LoadSettings, and by tests with a text of their own. Any thread, no state. Errors are
// kInvalid and name the place ("dbs[0].replicas[0].buckett", or line and column); unknown and
// repeated keys and wrong types are errors. Values of secret keys are never quoted.

#ifndef BACKSTAY_UPLOADER_SETTINGS_JSON_FILE_H_
#define BACKSTAY_UPLOADER_SETTINGS_JSON_FILE_H_

#include <string>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"

namespace backstay {

// Fills log, drain timeout, replica defaults and one rule for each of dbs[], its replicas merged
// with the defaults and checked unless `replicas_replaced` (the environment names another replica).
// "${VAR}" in a value is the environment variable VAR; "$${" is "${".
Status ReadSettingsJson(const std::string& text, const SettingsSources& sources,
                        bool replicas_replaced, Settings* out);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_JSON_FILE_H_
