#include "vfs/config_file.h"

#include <strings.h>

#include <cctype>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "vfs/environment.h"

namespace backstay {
namespace {

// One of "dbs": a path, or a folder and which files there.
struct Entry {
  std::string path, dir, pattern;
  std::string recursive;  // as written; empty: false
};

class Reader : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return true; }
  bool boolean(bool value) override {
    if (InDatabase() && key_ == "recursive") databases.back().recursive = value ? "true" : "";
    return Scalar();
  }
  bool number_integer(number_integer_t) override { return Scalar(); }
  bool number_unsigned(number_unsigned_t) override { return Scalar(); }
  bool number_float(number_float_t, const string_t&) override { return Scalar(); }
  bool string(string_t& value) override {
    if (InDatabase()) {
      if (key_ == "path") databases.back().path = value;
      if (key_ == "dir") databases.back().dir = value;
      if (key_ == "pattern") databases.back().pattern = value;
      if (key_ == "recursive") databases.back().recursive = value;
    }
    if (depth_ == kLogging && part_ == "logging") {
      if (key_ == "level") log.level = value;
      if (key_ == "type") log.type = value;
      if (key_ == "file") log.file = value;
    }
    return Scalar();
  }
  bool binary(binary_t&) override { return true; }
  bool start_object(size_t) override {
    if (depth_ == 0) is_object = true;
    misshapen |= depth_ == 1 && part_ == "dbs";
    ++depth_;
    if (InDatabase()) databases.emplace_back();
    return true;
  }
  bool key(string_t& value) override {
    if (depth_ == 1) part_ = value;
    others |= depth_ == 1 && part_ != "dbs" && part_ != "logging";
    key_ = std::move(value);
    return true;
  }
  bool end_object() override { return --depth_, true; }
  bool start_array(size_t) override {
    misshapen |= (depth_ == 1 && part_ == "logging") || (depth_ == 2 && part_ == "dbs");
    return ++depth_, true;
  }
  bool end_array() override { return --depth_, true; }
  bool parse_error(size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

  bool is_object = false;
  bool misshapen = false;  // "dbs" is no array of objects, or "logging" no object
  bool others = false;     // there are other keys
  std::vector<Entry> databases;
  OwnLogOptions log;

 private:
  static constexpr int kDatabase = 3;  // an object in the array in the outermost object
  static constexpr int kLogging = 2;   // in an object in the outermost object

  bool InDatabase() const { return depth_ == kDatabase && part_ == "dbs"; }
  bool Scalar() {
    misshapen |= depth_ == 1 && (part_ == "dbs" || part_ == "logging");
    misshapen |= depth_ == 2 && part_ == "dbs";
    return true;
  }

  int depth_ = 0;
  std::string part_;
  std::string key_;
};

bool StartsName(char c) { return c == '_' || std::isalpha(static_cast<unsigned char>(c)) != 0; }
bool IsInName(char c) { return StartsName(c) || (c >= '0' && c <= '9'); }

// The name behind the '$' at `at`, and *end behind it. False: a brace is open.
bool ReadName(const std::string& text, size_t at, std::string* name, size_t* end) {
  if (text[at + 1] == '{') {
    const size_t brace = text.find('}', at);
    if (brace == std::string::npos) return false;
    *name = text.substr(at + 2, brace - at - 2);
    *end = brace + 1;
    return true;
  }
  *end = at + 1;
  while (*end < text.size() && IsInName(text[*end])) ++*end;
  *name = text.substr(at + 1, *end - at - 1);
  return true;
}

// As the engine expands it: $NAME and ${NAME} are variables, "$$" before one is a "$". False: the
// engine says why not.
bool Expand(const std::string& text, std::string* out) {
  const auto refers = [&](size_t at) {
    return at < text.size() && (text[at] == '{' || StartsName(text[at]));
  };
  for (size_t at = 0; at < text.size();) {
    if (text[at] == '$' && at + 1 < text.size() && text[at + 1] == '$' && refers(at + 2)) {
      *out += '$';
      at += 2;
      *out += text[at++];
      continue;
    }
    if (text[at] != '$' || !refers(at + 1)) {
      *out += text[at++];
      continue;
    }
    std::string name;
    if (!ReadName(text, at, &name, &at)) return false;
    const char* value = Environment::AtStart().Get(name);
    if (value == nullptr) return false;
    *out += value;
  }
  return true;
}

bool ExpandInPlace(std::string* text) {
  std::string expanded;
  if (!Expand(*text, &expanded)) return false;
  *text = std::move(expanded);
  return true;
}

bool IsTrue(const std::string& word) {
  for (const char* yes : {"true", "yes", "on", "1"}) {
    if (strcasecmp(word.c_str(), yes) == 0) return true;
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

// As the engine's FinishFolder() makes it. Empty: the engine says what is wrong.
std::string PathOf(Entry* entry) {
  for (std::string* text : {&entry->path, &entry->dir, &entry->pattern, &entry->recursive}) {
    if (!ExpandInPlace(text)) return {};
  }
  if (entry->dir.empty() != entry->pattern.empty()) return {};
  if (entry->dir.empty()) return entry->path;
  if (!entry->path.empty() || entry->dir[0] != '/') return {};
  while (entry->dir.ends_with('/')) entry->dir.pop_back();
  return Literally(entry->dir) + (IsTrue(entry->recursive) ? "/**/" : "/") + entry->pattern;
}

// Litestream's words for what there is here.
void Translate(OwnLogOptions* log) {
  if (strcasecmp(log->level.c_str(), "trace") == 0) log->level = "debug";
  if (strcasecmp(log->type.c_str(), "pretty") == 0) log->type = "text";
}

}  // namespace

bool ConfigFile::Read(const std::string& name) {
  std::ifstream file(name);
  Reader json;
  try {
    if (!file || !nlohmann::json::sax_parse(file, &json)) return false;
  } catch (const std::ios_base::failure&) {
    return false;  // a folder, say
  }
  std::vector<std::string> found;
  for (Entry& database : json.databases) {
    found.push_back(PathOf(&database));
    if (found.back().empty()) return false;
  }
  for (std::string* text : {&json.log.level, &json.log.type, &json.log.file}) {
    if (!ExpandInPlace(text)) return false;
  }
  Translate(&json.log);
  paths = std::move(found);
  log = std::move(json.log);
  others = json.others;
  return json.is_object && !json.misshapen;
}

}  // namespace backstay
