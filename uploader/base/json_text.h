// JsonText: JSON written member by member.
//
// For what the engine's threads write: nlohmann's objects and arrays allocate in their destructors,
// which ends the process when memory has run out; its scalars do not. One thread. Throws
// std::bad_alloc alone.

#ifndef BACKSTAY_UPLOADER_BASE_JSON_TEXT_H_
#define BACKSTAY_UPLOADER_BASE_JSON_TEXT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace backstay {

// Null where `ms` is 0: it is not known, or there was none.
nlohmann::json MsOrNull(int64_t ms);
// The same as a time, RFC 3339 in UTC.
nlohmann::json TimeOrNull(int64_t ms);

class JsonText {
 public:
  // Spaces per level; negative: everything in one line.
  explicit JsonText(int indent) : indent_(indent) {}

  // `bracket` is '{' or '['; without a key for the whole and inside an array.
  void Open(char bracket, std::string_view key = {});
  void Close(char bracket);
  // `scalar` is null, a truth value, a number or a text; bytes that are not UTF-8 are replaced.
  void Add(std::string_view key, const nlohmann::json& scalar);
  std::string Take() { return std::move(text_); }

 private:
  void Begin(std::string_view key);
  void NewLine();

  const int indent_;
  std::string text_;
  int depth_ = 0;
  bool empty_ = true;  // nothing was written in the innermost object or array
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_BASE_JSON_TEXT_H_
