#include "vfs/engine_loader.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#include <string_view>

#include "vfs/environment.h"

namespace backstay {
namespace {

constexpr const char* kLibrary = "/libbackstay_engine.so";

// A sanitizer, ours or the host's, ends a process that uses RTLD_DEEPBIND.
int Mode() {
  void* program = dlopen(nullptr, RTLD_LAZY);
  const bool sanitized = program == nullptr || dlsym(program, "__sanitizer_print_stack_trace");
  return RTLD_NOW | RTLD_LOCAL | (sanitized ? 0 : RTLD_DEEPBIND);
}

std::string Real(const std::string& path) {
  char real[PATH_MAX];  // memory that libc allocates may be another malloc's
  return realpath(path.c_str(), real) != nullptr ? real : path;
}

struct Package {
  std::string_view library;
  const char* name;  // Debian's, and in derived distributions
};
constexpr Package kPackages[] = {{"libcrypto.so.3", "libssl3"},
                                 {"libcurl.so.4", "libcurl4"},
                                 {"libpugixml.so.1", "libpugixml1v5"},
                                 {"libzstd.so.1", "libzstd1"}};

// The linker's message does not tell a program why.
bool NoDescriptors(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd >= 0) close(fd);
  return fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM);
}

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

std::string WhyNotLoaded(const std::string& path, const std::string& linker) {
  // "NAME: cannot open shared object file: No such file or directory"
  const std::string name = linker.substr(0, linker.find(": cannot open shared object file"));
  std::string why = "cannot load the engine: ";
  if (name == linker) return why += linker;
  if (name == path) return why.append(linker) += "; put it beside the library that was loaded";
  why.append("the library ").append(name) += " is missing; remedy: install it";
  for (const Package& package : kPackages) {
    if (name == package.library) why.append(" (Debian: ").append(package.name) += ")";
  }
  return why;
}

std::string OwnFolder() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&OwnFolder), &info) == 0) return ".";
  // Beside the name it was loaded by, else (a link to it) beside the library itself.
  std::string folder = Real(FolderOf(info.dli_fname));
  if (access((folder + kLibrary).c_str(), F_OK) == 0) return folder;
  return FolderOf(Real(info.dli_fname));
}

const BackstayEngine* EngineLoader::Load(std::string* error) {
  std::lock_guard lock(mutex_);
  if (!tried_) tried_ = Open();
  *error = error_;
  return loaded();
}

bool EngineLoader::Open() {
  const std::string path = folder_ + kLibrary;
  if (NoDescriptors(path)) return false;
  void* library = dlopen(path.c_str(), Mode());
  if (library == nullptr) {
    const char* why = dlerror();
    error_ = WhyNotLoaded(path, why != nullptr ? why : path);
    return true;
  }
  auto entry = reinterpret_cast<BackstayEngineFn>(dlsym(library, BACKSTAY_ENGINE_SYMBOL));
  const BackstayEngine* engine = entry != nullptr ? entry(BACKSTAY_ENGINE_API_VERSION) : nullptr;
  if (engine == nullptr) {
    error_ = path + " is of another version; install all files of one release";
    return true;
  }
  engine->start(Environment::AtStart().entries());
  engine_.store(engine, std::memory_order_release);
  return true;
}

}  // namespace backstay
