// Completions for shells, made from what the commands take.
//
// Called by `backstay help -as`, on the main thread. Pure functions; they cannot fail. Each gives
// a whole file, to be put where the shell looks for it.

#ifndef BACKSTAY_TOOLS_COMPLETION_H_
#define BACKSTAY_TOOLS_COMPLETION_H_

#include <string>
#include <vector>

#include "tools/command_help.h"

namespace backstay {

std::string BashCompletion(const std::vector<CommandHelp>& commands);
std::string ZshCompletion(const std::vector<CommandHelp>& commands);
std::string FishCompletion(const std::vector<CommandHelp>& commands);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_COMPLETION_H_
