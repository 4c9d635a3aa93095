// backstay help: the commands, one command, or all of it as a manual page or a completion.

#include <cstdio>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/completion.h"
#include "tools/manual.h"

namespace backstay {
namespace {

constexpr char kExitCodes[] =
    "0 done, 1 failed, 2 usage or configuration, 3 no replica or no restore point that fits, 4 "
    "replica damaged";

// Those of single commands, for the manual.
constexpr char kMoreExitCodes[] =
    ". Of `status` also: 5 the replica cannot be written just now, 6 replication has stopped, 7 no "
    "process ships, 8 a commit has waited for longer than `-max-lag`. `run` ends as its program "
    "does; 125 it was not started, 126 it may not be executed, 127 it is not there.";

std::vector<CommandHelp> Describe(std::span<const Command> commands) {
  std::vector<CommandHelp> book;
  Arguments::DescribeInto(&book);
  for (const Command& command : commands) (void)command.run({});
  (void)PrintHelp({}, commands);
  return book;
}

std::string Render(const std::string& form, std::span<const Command> commands) {
  if (form == "settings-man") return SettingsManual();
  const std::vector<CommandHelp> book = Describe(commands);
  if (form == "man") return CommandManual(book, std::string(kExitCodes) + kMoreExitCodes);
  if (form == "bash") return BashCompletion(book);
  if (form == "zsh") return ZshCompletion(book);
  return FishCompletion(book);
}

}  // namespace

void PrintUsage(FILE* out, std::span<const Command> commands) {
  fprintf(out, "usage: backstay COMMAND [options] …\n\n");
  for (const Command& command : commands) {
    fprintf(out, "  %-10s %s\n", command.name, command.summary);
  }
  fprintf(out, "\n`backstay COMMAND -help` lists its options.\nexit: %s\n", kExitCodes);
}

int PrintHelp(const std::vector<std::string>& arguments, std::span<const Command> commands) {
  std::string form;
  std::string name;
  Arguments app("help", "Prints the commands, or the options of one.");
  app.Choice("--as", &form, {"man", "settings-man", "bash", "zsh", "fish"},
             "all of it as a manual page (the command's, or that of the settings), or as the "
             "completion of a shell");
  app.Operand("command", &name, false, "COMMAND", "whose options to list");
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  if (!form.empty()) {
    const std::string text = Render(form, commands);
    fwrite(text.data(), 1, text.size(), stdout);
    return kExitDone;
  }
  for (const Command& command : commands) {
    if (name == command.name) return command.run({"--help"});
  }
  if (!name.empty()) PrintError("help: unknown command `" + name + "`");
  PrintUsage(name.empty() ? stdout : stderr, commands);
  return name.empty() ? kExitDone : kExitUsage;
}

}  // namespace backstay
