// ExpandVariables(): "$NAME" and "${NAME}" in a text of the JSON file.
//
// Called by the reader of that file; any thread, no state. Errors are kInvalid and quote the
// variable's name, never a value.

#ifndef BACKSTAY_UPLOADER_SETTINGS_VARIABLES_H_
#define BACKSTAY_UPLOADER_SETTINGS_VARIABLES_H_

#include <string>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"

namespace backstay {

// A '$' that neither a name nor a brace follows stands for itself, "$$" before one for "$". A
// variable that is not set is an error.
Result<std::string> ExpandVariables(const SettingsSources& sources, const std::string& text);
// There is one in it.
bool HasVariable(const std::string& text);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_VARIABLES_H_
