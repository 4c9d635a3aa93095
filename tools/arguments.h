// Arguments: the options and the operand of one command, and its help.
//
// Made by a command on its stack, on the main thread; what it is bound to must outlive Parse().
// The one place that includes CLI11, which takes long to compile. A wrong usage is told on stderr.

#ifndef BACKSTAY_TOOLS_ARGUMENTS_H_
#define BACKSTAY_TOOLS_ARGUMENTS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tools/command_help.h"

namespace CLI {
class App;
class Error;
}  // namespace CLI

namespace backstay {

class Arguments {
 public:
  // Of the command `name`; `what` it does, one sentence.
  Arguments(const char* name, const char* what);
  ~Arguments();

  // Names are written with two dashes; users may write one.
  void Flag(const char* name, bool* value, const char* help);
  // Never an empty text: a job whose variable is not set must not lose what it asks for.
  void Text(const char* name, std::string* value, const char* help);
  void Text(const char* name, std::optional<std::string>* value, const char* help);
  void TextOrEmpty(const char* name, std::optional<std::string>* value, const char* help);
  // The number of one: a whole number from 1 on.
  void Transaction(const char* name, std::optional<uint64_t>* value, const char* help);
  void Number(const char* name, size_t* value, size_t least, size_t most, const char* help);
  // One of `allowed`, in any case; *value is as spelt there.
  void Choice(const char* name, std::string* value, const std::vector<std::string>& allowed,
              const char* help);
  // `type`: how the help calls it, like DB.
  void Operand(const char* name, std::string* value, bool required, const char* type,
               const char* help);

  // What helps where there is an operand that is not expected.
  void WithoutOperand(const char* remedy) { unexpected_ = remedy; }

  // From here on Parse() of any command writes into `book` what there is, and no command runs.
  static void DescribeInto(std::vector<CommandHelp>* book);

  // True: go on. False: *exit_code says how it ended (help was asked for, or the usage is wrong).
  bool Parse(const std::vector<std::string>& arguments, int* exit_code);

 private:
  CommandHelp Description() const;
  std::string TextOf(const CLI::Error& error) const;

  std::unique_ptr<CLI::App> app_;
  std::map<std::string, std::vector<std::string>> choices_;  // by the option's name
  std::pair<std::string, std::string> operand_;              // its name, and how the help calls it
  std::string missing_;                                      // what to say when the operand is
  std::string unexpected_;                                   // or when there is one too many
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_ARGUMENTS_H_
