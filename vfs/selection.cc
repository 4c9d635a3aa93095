#include "vfs/selection.h"

#include <fnmatch.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "vfs/environment.h"

namespace backstay {
namespace {

constexpr const char* kDefaultConfig = "/etc/backstay.json";

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

// A path that exists as it is written is no glob, whatever its name holds.
bool Matches(const std::string& pattern, const std::string& path) {
  if (pattern == path || SameFile(pattern, path)) return true;
  if (!IsGlob(pattern) || access(pattern.c_str(), F_OK) == 0) return false;
  return fnmatch(pattern.c_str(), path.c_str(), FNM_PATHNAME) == 0 ||
         fnmatch(ResolveFolder(pattern).c_str(), path.c_str(), FNM_PATHNAME) == 0;
}

// Takes dbs[].path. No tree is built: see json_line.h.
class PathReader : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t& value) override {
    if (depth_ == kDatabase && in_dbs_ && key_ == "path") paths.push_back(value);
    return true;
  }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override {
    if (depth_ == 0) is_object = true;
    ++depth_;
    databases += depth_ == kDatabase && in_dbs_;
    return true;
  }
  bool key(string_t& value) override {
    if (depth_ == 1) in_dbs_ = value == "dbs";
    key_ = std::move(value);
    return true;
  }
  bool end_object() override { return --depth_, true; }
  bool start_array(size_t) override { return ++depth_, true; }
  bool end_array() override { return --depth_, true; }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

  bool is_object = false;
  size_t databases = 0;
  std::vector<std::string> paths;

 private:
  static constexpr int kDatabase = 3;  // an object in the array in the outermost object

  int depth_ = 0;
  bool in_dbs_ = false;
  std::string key_;
};

// As the engine expands it: ${NAME} is the variable, $${ is "${". False: the engine says why not.
bool Expand(const std::string& text, std::string* out) {
  size_t from = 0;
  for (size_t at = text.find("${"); at != std::string::npos; at = text.find("${", from)) {
    out->append(text, from, at - from);
    if (at > from && out->back() == '$') {
      *out += '{';
      from = at + 2;
      continue;
    }
    const size_t end = text.find('}', at);
    if (end == std::string::npos) return false;
    const char* value = Environment::AtStart().Get(text.substr(at + 2, end - at - 2));
    if (value == nullptr) return false;
    *out += value;
    from = end + 1;
  }
  out->append(text, from);
  return true;
}

// False: what is wrong in it is the engine's to report.
bool ReadPaths(std::ifstream* file, std::vector<std::string>* paths) {
  PathReader json;
  try {
    if (!nlohmann::json::sax_parse(*file, &json)) return false;
  } catch (const std::ios_base::failure&) {
    return false;  // a folder, say
  }
  for (const std::string& path : json.paths) {
    std::string expanded;
    if (!Expand(path, &expanded)) return false;
    paths->push_back(Absolute(expanded));
  }
  return json.is_object && json.paths.size() == json.databases;
}

}  // namespace

SelectionOptions SelectionFromEnvironment(bool every_database) {
  SelectionOptions options;
  options.pattern = Absolute(Variable("BACKSTAY_DB"));
  options.every_database =
      every_database && options.pattern.empty() && !Variable("BACKSTAY_REPLICA_URL").empty();
  options.config = Absolute(Variable("BACKSTAY_CONFIG"));
  options.config_required = !options.config.empty();
  if (options.config.empty()) options.config = kDefaultConfig;
  return options;
}

Selection::Selection(const SelectionOptions& options) : every_database_(options.every_database) {
  if (!options.pattern.empty()) patterns_.push_back(options.pattern);
  if (!options.config.empty()) ReadConfig(options);
}

void Selection::ReadConfig(const SelectionOptions& options) {
  std::ifstream file(options.config);
  if (!file) {
    broken_ = options.config_required || access(options.config.c_str(), F_OK) == 0;
    return;
  }
  broken_ = !ReadPaths(&file, &patterns_);
}

bool Selection::Selects(const std::string& path) const {
  if (every_database_ || broken_) return true;
  for (const std::string& pattern : patterns_) {
    if (Matches(pattern, path)) return true;
  }
  return false;
}

}  // namespace backstay
