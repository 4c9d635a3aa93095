// Which databases a command is about: the one that it names, those of a glob, or all that the
// settings select.
//
// Main thread. Looks at the settings and at folders; nothing is contacted. kInvalid, with the
// remedy, where the settings cannot be used or select none; kNotFound: nothing matches a glob.

#ifndef BACKSTAY_TOOLS_DATABASES_H_
#define BACKSTAY_TOOLS_DATABASES_H_

#include <optional>
#include <string>
#include <vector>

#include "uploader/base/status.h"

namespace backstay {

// Absolute paths, each once, in order; the files need not be there unless a glob names them.
// `operand` empty: of the settings.
Result<std::vector<std::string>> DatabasesOf(const std::string& operand, const std::string& config);
// What the settings say that this command sees, which may be others than the application's. Not
// known where they cannot be used.
std::optional<bool> IsSelected(const std::string& database, const std::string& config);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_DATABASES_H_
