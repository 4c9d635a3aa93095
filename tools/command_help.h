// CommandHelp: what one command takes, as data. Help, manual page and completions are made of it.
//
// Filled by Arguments, which is the one place where options are declared. Plain data.

#ifndef BACKSTAY_TOOLS_COMMAND_HELP_H_
#define BACKSTAY_TOOLS_COMMAND_HELP_H_

#include <string>
#include <vector>

namespace backstay {

struct ArgumentHelp {
  std::string name;  // "-config"; of an operand what it is, "DB|URL"
  std::string help;
  bool takes_value = false;
  bool required = false;
  std::vector<std::string> choices;  // what the value may be; empty: anything
};

struct CommandHelp {
  std::string name;
  std::string what;  // it does, in sentences
  std::vector<ArgumentHelp> options;
  std::vector<ArgumentHelp> operands;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_COMMAND_HELP_H_
