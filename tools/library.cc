#include "tools/library.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>

#include "uploader/base/file.h"

namespace backstay {
namespace {

constexpr const char* kEngine = "libbackstay_engine.so";

std::string Real(const std::string& path) {
  char real[PATH_MAX];
  return realpath(path.c_str(), real) != nullptr ? real : "";
}

}  // namespace

Result<std::string> FindLibrary(const std::string& name, const std::string& given,
                                const std::string& option) {
  if (!given.empty()) {
    std::string path = Real(given);
    if (!path.empty()) return path;
    return Status(Code::kInvalid, given + " is not there; remedy: correct " + option);
  }
  const std::string folder = FolderOf(Real("/proc/self/exe"));
  for (const char* place : {"/", "/../lib/backstay/"}) {
    std::string path = Real(std::string(folder).append(place).append(name));
    if (!path.empty()) return path;
  }
  std::string remedy = "nor in ../lib/backstay; remedy: install it";
  if (!option.empty()) remedy += ", or say where it is with " + option;
  std::string missing = "no " + name;
  missing.append(" beside this program in ").append(folder).append(" ").append(remedy);
  return Status(Code::kInvalid, missing);
}

Status CheckEngine(const std::string& library) {
  const std::string engine = FolderOf(library) + "/" + kEngine;
  if (access(engine.c_str(), R_OK) == 0) return Status::Ok();
  const std::string why = strerror(errno);
  const std::string name = library.substr(library.rfind('/') + 1);
  return {Code::kInvalid, engine + ": " + why + "; remedy: put it beside " + name};
}

}  // namespace backstay
