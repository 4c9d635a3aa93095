// The companion tool: `backstay COMMAND [options] …`. One file per command.

#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "tools/command.h"

namespace backstay {
namespace {

constexpr Command kCommands[] = {
    {"restore", "rebuild a database from its replica", RunRestore},
    {"run", "start a program with the preload library in it", RunRun, true},
    {"list", "what can be restored", RunList},
    {"status", "how replication of a database stands", RunStatus},
    {"adopt", "let a replica follow another file from now on", RunAdopt},
    {"prune", "delete what is older than the retention", RunPrune},
    {"version", "versions of the tool, the format and the libraries", RunVersion},
};

// A file size limit or a closed pipe is an error to report, not a way to die half-way.
void IgnoreSignals() {
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
}

void PrintUsage(FILE* out) {
  fprintf(out, "usage: backstay COMMAND [options] …\n\n");
  for (const Command& command : kCommands) {
    fprintf(out, "  %-10s %s\n", command.name, command.summary);
  }
  fprintf(out,
          "\n`backstay COMMAND -help` lists its options.\n"
          "exit: 0 done, 1 failed, 2 usage or configuration, 3 no replica or no restore point that "
          "fits, 4 replica damaged\n");
}

int Run(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    PrintUsage(stderr);
    return kExitUsage;
  }
  const std::string& name = arguments[0];
  if (name == "-h" || name == "-help" || name == "--help" || name == "help") {
    PrintUsage(stdout);
    return kExitDone;
  }
  for (const Command& command : kCommands) {
    if (name != command.name) continue;
    if (!command.becomes_another) IgnoreSignals();
    return command.run(std::vector<std::string>(arguments.begin() + 1, arguments.end()));
  }
  std::string known;
  for (const Command& command : kCommands)
    known += std::string(known.empty() ? "" : ", ") + command.name;
  PrintError("unknown command `" + name + "`; the commands are " + known);
  return kExitUsage;
}

}  // namespace
}  // namespace backstay

int main(int argc, char** argv) {
  try {
    return backstay::Run(std::vector<std::string>(argv + 1, argv + argc));
  } catch (const std::exception& error) {
    backstay::PrintError(error.what());
    return backstay::kExitFailed;
  }
}
