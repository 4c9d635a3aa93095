// Manual pages, made from what the commands take and from the table of settings.
//
// Called by `backstay help -as`, on the main thread. Pure functions; they cannot fail. Each gives
// a whole page for man(7).

#ifndef BACKSTAY_TOOLS_MANUAL_H_
#define BACKSTAY_TOOLS_MANUAL_H_

#include <string>
#include <vector>

#include "tools/command_help.h"

namespace backstay {

// backstay(1). `exit_codes`: what commands end with, "0 done, 1 failed, …".
std::string CommandManual(const std::vector<CommandHelp>& commands, const std::string& exit_codes);
// backstay.json(5): file, environment and URI parameters.
std::string SettingsManual();

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_MANUAL_H_
