#include "uploader/settings/paths.h"

#include <fnmatch.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "uploader/settings/units.h"

namespace backstay {
namespace {

namespace fs = std::filesystem;

constexpr char kAnyFolders[] = "/**/";

Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

// Symbolic links resolved as far as the path exists and holds no glob; SQLite does the same to the
// names it opens.
std::string Resolved(const std::string& pattern) {
  std::string normal = NormalPath(pattern);
  size_t glob = normal.find_first_of("*?[");
  size_t cut = glob == std::string::npos ? normal.size() : normal.rfind('/', glob);
  // A relative one, which is refused elsewhere, may begin with a glob.
  if (cut == std::string::npos) return normal;
  std::error_code error;
  fs::path head = fs::weakly_canonical(normal.substr(0, cut), error);
  return error ? normal : head.string() + normal.substr(cut);
}

bool Fits(const std::string& pattern, const std::string& text) {
  return fnmatch(pattern.c_str(), text.c_str(), FNM_PATHNAME) == 0;
}

// One "/**/" stands for any number of folders, a second one for one.
bool MatchesGlob(const std::string& pattern, const std::string& path) {
  const size_t any = pattern.find(kAnyFolders);
  if (any == std::string::npos) return Fits(pattern, path);
  const std::string tail = pattern.substr(any + sizeof kAnyFolders - 2);
  for (size_t cut = path.find('/'); cut != std::string::npos; cut = path.find('/', cut + 1)) {
    if (!Fits(pattern.substr(0, any), path.substr(0, cut))) continue;
    for (size_t at = cut; at != std::string::npos; at = path.find('/', at + 1)) {
      if (Fits(tail, path.substr(at))) return true;
    }
  }
  return false;
}

// The same name as a pattern.
std::string Literally(const std::string& path) {
  std::string out;
  for (char c : path) {
    if (c == '*' || c == '?' || c == '[' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

bool IsGlob(const std::string& pattern) {
  return pattern.find_first_of("*?[") != std::string::npos;
}

std::string NormalPath(const std::string& path) {
  return fs::path(path).lexically_normal().string();
}

bool SelectsPath(const std::string& pattern, const std::string& path) {
  if (pattern.empty()) return true;
  const std::string wanted = NormalPath(pattern);
  const std::string resolved = Resolved(pattern);
  const std::string canonical = Resolved(path);
  if (wanted == path || resolved == canonical) return true;
  // A path that exists as it is written is no glob, whatever its name holds.
  if (!IsGlob(pattern) || access(pattern.c_str(), F_OK) == 0) return false;
  return MatchesGlob(wanted, path) || MatchesGlob(resolved, canonical);
}

bool SamePattern(const std::string& one, const std::string& other) {
  return NormalPath(one) == NormalPath(other) || Resolved(one) == Resolved(other);
}

Status FinishFolder(DatabaseSettings* database) {
  const bool folder = !database->folder.empty();
  if (folder == database->folder_pattern.empty()) {
    return Invalid(folder ? "\"dir\" has no \"pattern\"; add one, such as \"*.db\""
                          : "\"pattern\" goes with \"dir\"; add it, or write a \"path\"");
  }
  if (!folder && database->recursive) {
    return Invalid("\"recursive\" goes with \"dir\"; in a \"path\" write /**/");
  }
  if (folder && !database->path.empty()) {
    return Invalid("\"path\" and \"dir\" exclude each other; keep one");
  }
  const std::string& given = folder ? database->folder : database->path;
  if (given.empty() || given[0] != '/') {
    return Invalid(given.empty() ? "\"path\" is missing; give the database's absolute path"
                                 : (folder ? "dir " : "path ") + Quote(given) +
                                       " is relative; write an absolute one");
  }
  if (!folder) return {};
  if (database->folder_pattern.find('/') != std::string::npos) {
    return Invalid("pattern " + Quote(database->folder_pattern) +
                   " holds a '/'; it is for the names of files, \"recursive\" for folders");
  }
  database->folder = NormalPath(database->folder + "/");
  database->folder.pop_back();
  database->path = Literally(database->folder) + (database->recursive ? kAnyFolders : "/") +
                   database->folder_pattern;
  return {};
}

std::string NameOfDatabase(const std::string& folder, const std::string& path) {
  if (!folder.empty()) {
    const std::string real = Resolved(path);
    for (const std::string& start : {folder + "/", Resolved(Literally(folder)) + "/"}) {
      for (const std::string* each : {&path, &real}) {
        if (each->starts_with(start)) return each->substr(start.size());
      }
    }
  }
  return path.substr(path.rfind('/') + 1);
}

}  // namespace backstay
