#include "vfs/selection.h"

#include <fnmatch.h>
#include <glob.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "vfs/config_file.h"
#include "vfs/environment.h"

namespace backstay {
namespace {

constexpr const char* kDefaultConfig = "/etc/backstay.json";
constexpr const char* kAnyFolders = "/**/";

std::string Variable(const char* name) {
  const char* value = Environment::AtStart().Get(name);
  return value != nullptr ? value : "";
}

bool IsGlob(const std::string& path) { return path.find_first_of("*?[") != std::string::npos; }

std::string RealPath(const std::string& path) {
  char real[PATH_MAX];  // memory that libc allocates may be another malloc's
  return realpath(path.c_str(), real) != nullptr ? real : std::string();
}

std::string Absolute(const std::string& path) {
  if (path.empty() || path[0] == '/') return path;
  char folder[PATH_MAX];
  return getcwd(folder, sizeof folder) != nullptr ? std::string(folder) + "/" + path : path;
}

// SQLite names databases by their real path: resolves the folders in front of the first wildcard.
std::string ResolveFolder(const std::string& pattern) {
  const size_t wildcard = pattern.find_first_of("*?[");
  const size_t slash = pattern.rfind('/', wildcard);
  if (slash == std::string::npos || slash == 0) return pattern;
  const std::string real = RealPath(pattern.substr(0, slash));
  return real.empty() ? pattern : real + pattern.substr(slash);
}

bool SameFile(const std::string& a, const std::string& b) {
  struct stat x, y;
  return stat(a.c_str(), &x) == 0 && stat(b.c_str(), &y) == 0 && x.st_dev == y.st_dev &&
         x.st_ino == y.st_ino;
}

bool Fits(const std::string& pattern, const std::string& text) {
  return fnmatch(pattern.c_str(), text.c_str(), FNM_PATHNAME) == 0;
}

// As the engine's SelectsPath(): one "/**/" stands for any number of folders.
bool MatchesGlob(const std::string& pattern, const std::string& path) {
  const size_t any = pattern.find(kAnyFolders);
  if (any == std::string::npos) return Fits(pattern, path);
  const std::string tail = pattern.substr(any + strlen(kAnyFolders) - 1);
  for (size_t cut = path.find('/'); cut != std::string::npos; cut = path.find('/', cut + 1)) {
    if (!Fits(pattern.substr(0, any), path.substr(0, cut))) continue;
    for (size_t at = cut; at != std::string::npos; at = path.find('/', at + 1)) {
      if (Fits(tail, path.substr(at))) return true;
    }
  }
  return false;
}

// A path that exists as it is written is no glob, whatever its name holds.
bool Matches(const std::string& pattern, const std::string& path) {
  if (pattern == path || SameFile(pattern, path)) return true;
  if (!IsGlob(pattern) || access(pattern.c_str(), F_OK) == 0) return false;
  return MatchesGlob(pattern, path) || MatchesGlob(ResolveFolder(pattern), path);
}

// Something that the pattern names is there.
bool NamesSomething(const std::string& pattern) {
  if (access(pattern.c_str(), F_OK) == 0) return true;
  if (!IsGlob(pattern)) return false;
  // The folder above all those is enough: they may be many.
  if (const size_t any = pattern.find(kAnyFolders); any != std::string::npos) {
    return NamesSomething(pattern.substr(0, std::max<size_t>(any, 1)));
  }
  glob_t found{};
  const bool any = glob(pattern.c_str(), GLOB_NOSORT, nullptr, &found) == 0;
  globfree(&found);
  return any;
}

const char* UnsetReason(const SelectionOptions& options) {
  if (!options.preloaded) {
    return "no replica is set; remedy: BACKSTAY_REPLICA_URL, or a JSON file (BACKSTAY_CONFIG)";
  }
  if (options.replica_set) {
    return "BACKSTAY_REPLICA_URL alone selects none for the preload library; remedy: set "
           "BACKSTAY_DB to the database's path, or a glob";
  }
  return "no setting selects one; remedy: BACKSTAY_DB and BACKSTAY_REPLICA_URL, or a JSON file "
         "(BACKSTAY_CONFIG)";
}

}  // namespace

SelectionOptions SelectionFromEnvironment(bool preloaded) {
  SelectionOptions options;
  options.preloaded = preloaded;
  options.pattern = Absolute(Variable("BACKSTAY_DB"));
  options.replica_set = !Variable("BACKSTAY_REPLICA_URL").empty();
  options.config = Absolute(Variable("BACKSTAY_CONFIG"));
  options.config_required = !options.config.empty();
  if (options.config.empty()) options.config = kDefaultConfig;
  options.log.level = Variable("BACKSTAY_LOG_LEVEL");
  options.log.type = Variable("BACKSTAY_LOG_FORMAT");
  options.log.file = Variable("BACKSTAY_LOG_FILE");
  return options;
}

Selection::Selection(const SelectionOptions& options)
    : log_(options.log),
      every_database_(!options.preloaded && options.pattern.empty() && options.replica_set),
      unset_reason_(UnsetReason(options)) {
  if (!options.pattern.empty()) patterns_.push_back({options.pattern, "BACKSTAY_DB"});
  if (!options.config.empty()) ReadConfig(options);
  unset_ = patterns_.empty() && !options.replica_set && !broken_;
}

void Selection::ReadConfig(const SelectionOptions& options) {
  if (access(options.config.c_str(), F_OK) != 0) {
    broken_ = options.config_required;
    return;
  }
  ConfigFile file;
  broken_ = !file.Read(options.config);
  // One of its keys may be no setting: the engine knows.
  broken_ |= options.config_required && patterns_.empty() && file.paths.empty() && file.others;
  for (std::string& path : file.paths) patterns_.push_back({Absolute(path), "dbs[].path"});
  if (log_.level.empty()) log_.level = file.log.level;
  if (log_.type.empty()) log_.type = file.log.type;
  if (log_.file.empty()) log_.file = file.log.file;
}

bool Selection::Selects(const std::string& path) const {
  if (every_database_ || broken_) return true;
  for (const Pattern& pattern : patterns_) {
    if (Matches(pattern.path, path)) return true;
  }
  return false;
}

std::string Selection::WhyNothing() const {
  if (every_database_ || broken_) return {};
  if (patterns_.empty()) return unset_reason_;
  std::string why;
  for (const Pattern& pattern : patterns_) {
    if (NamesSomething(pattern.path)) return {};
    if (!why.empty()) why += ", ";
    why.append(pattern.setting).append(" names ").append(pattern.path);
  }
  return why +
         ", where no file is; remedy: name the database there, by its absolute path or a glob";
}

std::string Selection::Missing() const {
  if (broken_) return {};
  std::string missing;
  for (const Pattern& pattern : patterns_) {
    if (IsGlob(pattern.path) || NamesSomething(pattern.path)) continue;
    if (!missing.empty()) missing += ", ";
    missing.append(pattern.setting).append(" names ").append(pattern.path);
  }
  if (missing.empty()) return {};
  return missing + ", where no file is; remedy: the path under which the program opens it";
}

}  // namespace backstay
