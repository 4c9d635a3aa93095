// The companion tool: `backstay COMMAND [options] …`. One file per command.

#include <errno.h>
#include <malloc.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <vector>

#include "tools/command.h"
#include "tools/json_output.h"

namespace backstay {
namespace {

constexpr Command kCommands[] = {
    {"restore", "rebuild a database from its replica", RunRestore},
    {"verify", "prove that every replica of a database can be restored", RunVerify},
    {"run", "start a program with the preload library in it", RunRun, true},
    {"replicate", "follow databases of programs that cannot load Backstay", RunReplicate},
    {"sync", "ship what waits of a database", RunSync},
    {"list", "what can be restored", RunList},
    {"status", "how replication of a database stands", RunStatus},
    {"check", "try out everything that replication needs of a bucket", RunCheck},
    {"config", "what the settings mean, and where each comes from", RunConfig},
    {"adopt", "let a replica follow another file from now on", RunAdopt},
    {"prune", "delete what is older than the retention", RunPrune},
    {"version", "versions of the tool, the format and the libraries", RunVersion},
};

// A file size limit or a closed pipe is an error to report, not a way to die half-way.
void IgnoreSignals() {
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
}

// Objects of megabytes come and go on many threads: what one gives back, another one gets.
void KeepMemorySmall() {
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 1 << 20);
}

// How people ask other programs, too.
std::string Spelt(const std::string& name) {
  if (name == "-h" || name == "-help" || name == "--help") return "help";
  if (name == "-V" || name == "-version" || name == "--version") return "version";
  return name;
}

// What was printed is a result only once it is written.
int Written(int exit_code) {
  const int error = fflush(stdout) == 0 ? 0 : errno;
  if (error == 0 && ferror(stdout) == 0) return exit_code;
  PrintError("standard output cannot be written" +
             (error == 0 ? "" : std::string(": ") + strerror(error)));
  return exit_code == kExitDone ? kExitFailed : exit_code;
}

int Run(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    PrintUsage(stderr, kCommands);
    return kExitUsage;
  }
  const std::string name = Spelt(arguments[0]);
  const std::vector<std::string> others(arguments.begin() + 1, arguments.end());
  if (name == "help") return PrintHelp(others, kCommands);
  for (const Command& command : kCommands) {
    if (name != command.name) continue;
    if (!command.becomes_another) IgnoreSignals();
    const int exit_code = command.run(others);
    const bool silent = exit_code == kExitDone || command.becomes_another;
    if (!silent && AsksForJson(others)) PrintJsonError(name, exit_code);
    return exit_code;
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
    backstay::KeepMemorySmall();
    return backstay::Written(backstay::Run(std::vector<std::string>(argv + 1, argv + argc)));
  } catch (const std::exception& error) {
    backstay::PrintError(error.what());
    return backstay::kExitFailed;
  }
}
