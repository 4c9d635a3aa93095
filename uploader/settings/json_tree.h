// ParseJson(): the values of a JSON text as a tree.
//
// Called by the reader of the JSON file, inside a host, too: nlohmann's objects and arrays allocate
// in their destructors (see base/json_text.h), so its parser is used without them. Any thread, no
// state. Throws std::bad_alloc alone.

#ifndef BACKSTAY_UPLOADER_SETTINGS_JSON_TREE_H_
#define BACKSTAY_UPLOADER_SETTINGS_JSON_TREE_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "uploader/base/status.h"

namespace backstay {

struct JsonValue {
  enum class Kind { kNull, kBoolean, kUnsigned, kOtherNumber, kString, kArray, kObject };

  bool Is(Kind wanted) const { return kind == wanted; }
  // NULL when there is no such member.
  const JsonValue* Member(const std::string& key) const;
  // "null", "boolean", "number", "string", "array" or "object".
  const char* TypeName() const;

  Kind kind = Kind::kNull;
  bool boolean = false;
  uint64_t number = 0;  // of kUnsigned
  std::string text;     // of kString
  std::string place;    // where it stood in the file, if it was moved since
  std::vector<JsonValue> items;
  std::map<std::string, JsonValue> members;
};

// kInvalid, with the place, for what is no JSON, names a key twice, or is nested deeper than 100.
Result<JsonValue> ParseJson(const std::string& text);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_JSON_TREE_H_
