// What every command of the tool is given and gives back.
//
// One process runs one command, on the main thread. Results go to stdout, everything for people
// about trouble to stderr. Commands return an exit code; they never exit by themselves.

#ifndef BACKSTAY_TOOLS_COMMAND_H_
#define BACKSTAY_TOOLS_COMMAND_H_

#include <cstdint>
#include <string>
#include <vector>

#include "uploader/base/status.h"

namespace backstay {

// Part of the interface: scripts and init containers rely on them.
enum ExitCode {
  kExitDone = 0,  // or nothing to do, as the -if-… flags say
  kExitFailed = 1,
  kExitUsage = 2,    // or configuration
  kExitNothing = 3,  // no replica, or no restore point that fits
  kExitDamaged = 4,  // the replica is damaged
};

struct Command {
  const char* name;
  const char* summary;                                    // one line
  int (*run)(const std::vector<std::string>& arguments);  // those after the name
  bool becomes_another = false;  // a program that inherits how signals are handled
};

int RunPrune(const std::vector<std::string>& arguments);
int RunRun(const std::vector<std::string>& arguments);
int RunRestore(const std::vector<std::string>& arguments);
int RunAdopt(const std::vector<std::string>& arguments);
int RunList(const std::vector<std::string>& arguments);
int RunStatus(const std::vector<std::string>& arguments);
int RunVersion(const std::vector<std::string>& arguments);

// "backstay: message" on stderr.
void PrintError(const std::string& message);
// Of an error that came from a replica or from settings.
int ExitCodeOf(const Status& status);

// "4.0 KiB", "17 bytes"
std::string FormatBytes(uint64_t bytes);
// RFC 3339 with seconds, an optional fraction and an offset or Z; ms since 1970. kInvalid
// otherwise.
Result<int64_t> ParseRfc3339(const std::string& text);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_COMMAND_H_
