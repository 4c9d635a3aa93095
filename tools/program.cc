#include "tools/program.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstring>
#include <sstream>

namespace backstay {
namespace {

constexpr int kMostInterpreters = 5;  // as in the kernel
constexpr size_t kScriptLine = 256;   // as much of it as the kernel reads
constexpr const char* kBlank = " \t";

Status CanExecute(const std::string& path) {
  struct stat file;
  if (stat(path.c_str(), &file) != 0) return Status::Errno(path, errno);
  if (!S_ISREG(file.st_mode))
    return {Code::kDenied, path + " is no program, but a folder or the like"};
  if (access(path.c_str(), X_OK) != 0) return Status::Errno(path + " cannot be executed", errno);
  return Status::Ok();
}

// What the kernel gives a program when it starts; the loader then ignores LD_PRELOAD.
std::string PrivilegeOf(const std::string& path) {
  struct stat file;
  struct statvfs system;
  if (stat(path.c_str(), &file) != 0) return "";
  if (statvfs(path.c_str(), &system) == 0 && (system.f_flag & ST_NOSUID) != 0) return "";
  if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) return "";
  if ((file.st_mode & S_ISUID) != 0 && file.st_uid != getuid()) return "set-user-ID";
  constexpr mode_t kSetGroup = S_ISGID | S_IXGRP;
  if ((file.st_mode & kSetGroup) == kSetGroup && file.st_gid != getgid()) return "set-group-ID";
  const bool capable = getxattr(path.c_str(), "security.capability", nullptr, 0) > 0;
  return capable && getuid() != 0 ? "file capabilities" : "";
}

Status CheckElf(const std::string& path, const ElfFile& elf, const ElfKind& library) {
  if (elf.kind != library) {
    return {Code::kUnsupported, path +
                                    " is for another kind of machine than the preload library; "
                                    "remedy: take a build of Backstay for that machine"};
  }
  if (elf.interpreter.empty()) {
    return {Code::kUnsupported,
            path +
                " is statically linked, and no library can be preloaded into it; remedy: take a "
                "dynamically linked build of it"};
  }
  const std::string loader = NameOf(elf.interpreter);
  if (!loader.starts_with("ld-linux")) {
    const std::string libc =
        loader.starts_with("ld-musl") ? "musl" : "a C library that is not glibc";
    return {Code::kUnsupported, path + " is linked to " + libc + " (its loader is " +
                                    elf.interpreter +
                                    "), and the preload library needs glibc; remedy: take a build "
                                    "of it, or an image, with glibc"};
  }
  if (access(elf.interpreter.c_str(), X_OK) != 0) {
    return Status::Errno(path + " needs the loader " + elf.interpreter, errno);
  }
  const std::string privilege = PrivilegeOf(path);
  if (privilege.empty()) return Status::Ok();
  return {Code::kUnsupported,
          path + " gains privileges when it starts (" + privilege +
              "), and then LD_PRELOAD is ignored; remedy: have the service manager give it user, "
              "group and capabilities, and take them from the file"};
}

struct Script {
  std::string interpreter;
  std::string argument;  // the kernel makes one of all that follows
};

// Empty if the file is no script.
Result<Script> ReadScript(const Fd& file) {
  std::string line(kScriptLine, '\0');
  Result<size_t> read = ReadAt(file, reinterpret_cast<uint8_t*>(line.data()), kScriptLine, 0);
  if (!read.ok()) return read.status();
  line.resize(*read);
  if (!line.starts_with("#!")) return Script();
  line = line.substr(2, line.find_first_of(std::string("\n\0", 2), 2) - 2);
  const size_t start = line.find_first_not_of(kBlank);
  if (start == std::string::npos) return Script();
  const size_t end = line.find_first_of(kBlank, start);
  Script script{line.substr(start, end - start), ""};
  const size_t rest = line.find_first_not_of(kBlank, end);
  if (rest == std::string::npos) return script;
  script.argument = line.substr(rest, line.find_last_not_of(kBlank) - rest + 1);
  return script;
}

// The program that `env` looks for; empty if it is told more than a name.
std::string ProgramOfEnv(const std::string& argument) {
  constexpr std::string_view kSplit = "-S";
  const bool split = argument.starts_with(kSplit);
  std::istringstream words(split ? argument.substr(kSplit.size()) : argument);
  std::string word;
  while (words >> word) {
    if (word[0] == '-' || word.find_first_of("\"'\\$") != std::string::npos) return "";
    if (word.find('=') != std::string::npos) continue;
    std::string more;
    return split || !(words >> more) ? word : "";
  }
  return "";
}

Status Check(const std::string& path, const ElfKind& library, int depth);

Status CheckScript(const std::string& path, const Script& script, const ElfKind& library,
                   int depth) {
  if (depth == kMostInterpreters) {
    return {Code::kUnsupported, path + " is the interpreter of a script of a script of a script…"};
  }
  const std::string context = path + " is a script";
  Status status = CanExecute(script.interpreter);
  if (status.ok()) status = Check(script.interpreter, library, depth + 1);
  if (!status.ok()) return status.Wrap(context);
  if (NameOf(script.interpreter) != "env") return status;
  const std::string name = ProgramOfEnv(script.argument);
  if (name.empty()) return status;
  Result<std::string> found = FindProgram(name);
  if (!found.ok()) return found.status().Wrap(context);
  return Check(*found, library, depth + 1).Wrap(context);
}

Status Check(const std::string& path, const ElfKind& library, int depth) {
  Result<Fd> file = OpenFile(path, O_RDONLY);
  if (!file.ok()) {
    return {Code::kUnsupported, path + " cannot be read (" + file.status().message() +
                                    "), so nobody can tell whether the preload library would come "
                                    "into it; remedy: make it readable"};
  }
  Result<ElfFile> elf = ReadElf(*file);
  if (elf.ok()) return CheckElf(path, *elf, library);
  if (elf.status().code() != Code::kUnsupported) {
    return elf.status().Wrap(path + " is damaged");
  }
  Result<Script> script = ReadScript(*file);
  if (!script.ok()) return script.status();
  if (!script->interpreter.empty()) return CheckScript(path, *script, library, depth);
  return {Code::kUnsupported,
          path +
              " is neither an ELF program nor a script that begins with #!; remedy: name the "
              "program that interprets it"};
}

}  // namespace

Result<std::string> FindProgram(const std::string& name) {
  if (name.find('/') != std::string::npos) {
    Status status = CanExecute(name);
    if (!status.ok()) return status;
    return name;
  }
  const char* variable = getenv("PATH");
  std::istringstream folders(variable != nullptr ? variable : "/bin:/usr/bin");
  Status denied;
  std::string folder;
  while (!name.empty() && std::getline(folders, folder, ':')) {
    std::string path = (folder.empty() ? "." : folder) + "/" + name;
    Status status = CanExecute(path);
    if (status.ok()) return path;
    if (status.code() == Code::kDenied) denied = status;
  }
  if (!denied.ok()) return denied;
  return Status(Code::kNotFound, "no program `" + name + "` in PATH");
}

Status CheckPreload(const std::string& path, const ElfKind& library) {
  return Check(path, library, 0);
}

}  // namespace backstay
