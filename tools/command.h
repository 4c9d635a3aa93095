// What every command of the tool is given and gives back.
//
// One process runs one command, on the main thread. Results go to stdout, everything for people
// about trouble to stderr. Commands return an exit code; they never exit by themselves.

#ifndef BACKSTAY_TOOLS_COMMAND_H_
#define BACKSTAY_TOOLS_COMMAND_H_

#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <vector>

#include "uploader/base/log.h"
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
int RunSync(const std::vector<std::string>& arguments);
int RunReplicate(const std::vector<std::string>& arguments);
int RunRestore(const std::vector<std::string>& arguments);
int RunCheck(const std::vector<std::string>& arguments);
int RunConfig(const std::vector<std::string>& arguments);
int RunAdopt(const std::vector<std::string>& arguments);
int RunList(const std::vector<std::string>& arguments);
int RunStatus(const std::vector<std::string>& arguments);
int RunVerify(const std::vector<std::string>& arguments);
int RunVersion(const std::vector<std::string>& arguments);

// The commands, one a line.
void PrintUsage(FILE* out, std::span<const Command> commands);
// `backstay help`.
int PrintHelp(const std::vector<std::string>& arguments, std::span<const Command> commands);

// "backstay: message" on stderr, "backstay: warning: message"; with BACKSTAY_LOG_FORMAT=json a line
// of the log, of that level: in a container the same alerts take it that take what an application's
// Backstay says. Any thread.
void PrintLine(Level level, const std::string& message);
void PrintError(const std::string& message);
// What a warning told of is over.
void PrintRecovered(const std::string& message);
// What is only good to know.
void PrintNote(const std::string& message);
// What needs a look, and stops nothing.
void PrintWarning(const std::string& message);
// Why the command fails, where that is no fault and is said at another level.
void NoteError(const std::string& message);
// The message of the last PrintError() or NoteError().
std::string LastError();
// Of an error that came from a replica or from settings.
int ExitCodeOf(const Status& status);
// Of several replicas, for the command's exit status: damaged before missing before failed before
// wrong usage.
int WorseOf(int exit_code, int other);

// "4.0 KiB", "17 bytes"
std::string FormatBytes(uint64_t bytes);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_COMMAND_H_
