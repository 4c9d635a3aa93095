// backstay run: a program with the preload library in it, or a refusal that says why.

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/program.h"

namespace backstay {
namespace {

// As of env, nice and timeout: the program's own exit status is most often below.
constexpr int kExitRefused = 125;
constexpr int kExitCannotExecute = 126;
constexpr int kExitNoProgram = 127;

constexpr const char* kLibrary = "libbackstay_preload.so";
constexpr const char* kEngine = "libbackstay_engine.so";

int Refuse(const Status& status) {
  PrintError("run: " + status.message());
  if (status.code() == Code::kNotFound) return kExitNoProgram;
  return status.code() == Code::kDenied ? kExitCannotExecute : kExitRefused;
}

Status NoLibrary(const std::string& message) { return {Code::kInvalid, message}; }

std::string Real(const std::string& path) {
  char real[PATH_MAX];
  return realpath(path.c_str(), real) != nullptr ? real : "";
}

// Beside this program, as in a build folder, or where it is installed.
Result<std::string> FindLibrary(const std::string& given) {
  if (!given.empty()) {
    std::string path = Real(given);
    if (path.empty()) return NoLibrary(given + " is not there; remedy: correct -preload");
    return path;
  }
  const std::string folder = FolderOf(Real("/proc/self/exe"));
  for (const char* place : {"/", "/../lib/backstay/"}) {
    std::string path = Real(folder + place + kLibrary);
    if (!path.empty()) return path;
  }
  return NoLibrary(std::string("no ") + kLibrary + " beside this program in " + folder +
                   " nor in ../lib/backstay; remedy: install it, or say where it is with -preload");
}

// What the loader would only warn of, and start the program without.
Result<ElfKind> CheckLibrary(const std::string& path) {
  if (path.find_first_of(" :$") != std::string::npos) {
    return NoLibrary("LD_PRELOAD cannot hold a path with a blank, a colon or a dollar sign: " +
                     path + "; remedy: install Backstay elsewhere");
  }
  Result<Fd> file = OpenFile(path, O_RDONLY);
  if (!file.ok()) return NoLibrary(file.status().message() + "; remedy: make it readable");
  Result<ElfFile> elf = ReadElf(*file);
  if (!elf.ok()) {
    return NoLibrary(path + " is no library: " + elf.status().message() +
                     "; remedy: install it anew");
  }
  const std::string engine = FolderOf(path) + "/" + kEngine;
  if (access(engine.c_str(), R_OK) != 0) {
    return NoLibrary(engine + ": " + strerror(errno) + "; remedy: put it beside " + kLibrary);
  }
  return elf->kind;
}

// Before what others preload.
void SetPreload(const std::string& library) {
  const char* others = getenv("LD_PRELOAD");
  const std::string value = others != nullptr && *others != '\0' ? library + ":" + others : library;
  setenv("LD_PRELOAD", value.c_str(), 1);
}

int Start(const std::string& path, const std::vector<std::string>& command) {
  std::vector<char*> argv;
  for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(path.c_str(), argv.data());
  const bool gone = errno == ENOENT;
  PrintError("run: " + path + ": " + strerror(errno));
  return gone ? kExitNoProgram : kExitCannotExecute;
}

}  // namespace

int RunRun(const std::vector<std::string>& arguments) {
  Arguments app(
      "run",
      "Starts PROGRAM with the preload library in it: `backstay run -- PROGRAM "
      "[ARGUMENT…]`. The databases that BACKSTAY_DB or the configuration file selects "
      "are replicated. Where the library would not come into PROGRAM, nothing is started: "
      "exit status 125, as for a wrong usage; 126 if PROGRAM may not be executed, 127 if "
      "it is not there; else PROGRAM's own.");
  std::string preload;
  app.Text("--preload", &preload, "the preload library, if it is neither here nor installed");
  const auto end = std::find(arguments.begin(), arguments.end(), "--");
  int exit_code = kExitDone;
  if (!app.Parse(std::vector<std::string>(arguments.begin(), end), &exit_code)) {
    return exit_code == kExitDone ? kExitDone : kExitRefused;
  }
  if (end == arguments.end() || end + 1 == arguments.end()) {
    return Refuse({Code::kInvalid, "PROGRAM is missing: `backstay run -- PROGRAM [ARGUMENT…]`"});
  }
  const std::vector<std::string> command(end + 1, arguments.end());

  Result<std::string> library = FindLibrary(preload);
  if (!library.ok()) return Refuse(library.status());
  Result<ElfKind> kind = CheckLibrary(*library);
  if (!kind.ok()) return Refuse(kind.status());
  Result<std::string> program = FindProgram(command[0]);
  if (!program.ok()) return Refuse(program.status());
  if (Status status = CheckPreload(*program, *kind); !status.ok()) return Refuse(status);
  SetPreload(*library);
  return Start(*program, command);
}

}  // namespace backstay
