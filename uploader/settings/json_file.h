// The JSON file: Litestream's shape, read strictly.
//
// Called by LoadSettings, and by tests with a text of their own. Any thread, no state. Problems are
// kInvalid and name the place ("dbs[0].replicas[0].buckett", or line and column); unknown and
// repeated keys and wrong types are problems. Values of secret keys are never quoted.

#ifndef BACKSTAY_UPLOADER_SETTINGS_JSON_FILE_H_
#define BACKSTAY_UPLOADER_SETTINGS_JSON_FILE_H_

#include <string>

#include "uploader/settings/problems.h"
#include "uploader/settings/settings.h"

namespace backstay {

// Fills log, drain timeout, the defaults that the top level gives, and one rule for each of dbs[],
// its replicas merged with the defaults and checked unless `replicas_replaced` (the environment
// names another replica). "${VAR}" in a value is the environment variable VAR; "$${" is "${".
// Litestream's keys are taken as TranslateLitestream() does. All problems are added, each with
// `file` before it.
void ReadSettingsJson(const std::string& text, const std::string& file,
                      const SettingsSources& sources, bool replicas_replaced, Settings* out,
                      Problems* problems);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_JSON_FILE_H_
