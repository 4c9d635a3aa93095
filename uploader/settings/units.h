// Words and numbers that settings are written in, and how an error quotes them.
//
// Called by the parsers of this folder (ParseDurationMs and ParseBytes, declared in settings.h, by
// everyone). Any thread, no state. Errors are kInvalid, quote the value and say what to write.

#ifndef BACKSTAY_UPLOADER_SETTINGS_UNITS_H_
#define BACKSTAY_UPLOADER_SETTINGS_UNITS_H_

#include <string>
#include <string_view>
#include <vector>

#include "uploader/base/status.h"

namespace backstay {

// true/false, yes/no, on/off, 1/0.
Result<bool> ParseBool(const std::string& text);
// ASCII letters only, whatever the locale.
std::string LowerCase(std::string text);
bool HasControlCharacter(std::string_view text);
// In double quotes, control characters as '?', at most 60 bytes of it. Never for a secret.
std::string Quote(std::string_view text);
// The name nearest to `word` by edit distance, or "" when none is near.
std::string NearestName(std::string_view word, const std::vector<std::string>& names);
// `; did you mean "bucket"?`, or `; known here: a, b, c`.
std::string Suggestion(std::string_view word, const std::vector<std::string>& names);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_UNITS_H_
