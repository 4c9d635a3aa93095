#include "uploader/settings/json_tree.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "uploader/settings/units.h"

namespace backstay {
namespace {

using Kind = JsonValue::Kind;

constexpr size_t kMaxDepth = 100;  // the destructors of a tree call each other

Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

// `position`: 1-based byte behind which nothing was understood. The text may hold secrets.
Status SyntaxError(const std::string& text, size_t position) {
  size_t line = 1;
  size_t column = 0;
  for (size_t i = 0; i < position && i < text.size(); ++i) {
    ++column;
    if (text[i] == '\n' && i + 1 < position) {
      ++line;
      column = 0;
    }
  }
  return Invalid("not valid JSON at line " + std::to_string(line) + ", column " +
                 std::to_string(column));
}

class Builder : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Builder(const std::string& text) : text_(text) {}

  bool null() override { return Add(Kind::kNull) != nullptr; }
  bool boolean(bool value) override { return Add(Kind::kBoolean)->boolean = value, true; }
  bool number_integer(number_integer_t) override { return Add(Kind::kOtherNumber) != nullptr; }
  bool number_unsigned(number_unsigned_t value) override {
    return Add(Kind::kUnsigned)->number = value, true;
  }
  bool number_float(number_float_t, const string_t&) override {
    return Add(Kind::kOtherNumber) != nullptr;
  }
  bool string(string_t& value) override {
    return Add(Kind::kString)->text = std::move(value), true;
  }
  bool binary(binary_t&) override { return false; }  // JSON has none
  bool start_object(size_t) override { return Open(Kind::kObject); }
  bool key(string_t& value) override {
    auto [it, fresh] = open_.back()->members.try_emplace(value);
    if (!fresh) return Refuse("key " + Quote(value) + " is given twice; keep one");
    place_ = &it->second;
    return true;
  }
  bool end_object() override { return Close(); }
  bool start_array(size_t) override { return Open(Kind::kArray); }
  bool end_array() override { return Close(); }
  bool parse_error(size_t position, const std::string&, const nlohmann::json::exception&) override {
    status_ = SyntaxError(text_, position);
    return false;
  }

  Result<JsonValue> Take() {
    if (!status_.ok()) return status_;
    return std::move(root_);
  }

 private:
  // Where the next value belongs: the root, behind a key, or at the end of an array.
  JsonValue* Add(Kind kind) {
    JsonValue* value = place_;
    if (!open_.empty() && open_.back()->Is(Kind::kArray)) {
      value = &open_.back()->items.emplace_back();
    }
    value->kind = kind;
    return value;
  }
  // Only the innermost open value grows: pointers to those around it stay good.
  bool Open(Kind kind) {
    if (open_.size() == kMaxDepth) return Refuse("not valid JSON here: nested deeper than 100");
    open_.push_back(Add(kind));
    return true;
  }
  bool Close() { return open_.pop_back(), true; }
  bool Refuse(std::string why) { return status_ = Invalid(std::move(why)), false; }

  const std::string& text_;
  JsonValue root_;
  JsonValue* place_ = &root_;
  std::vector<JsonValue*> open_;
  Status status_;
};

}  // namespace

const JsonValue* JsonValue::Member(const std::string& key) const {
  auto it = members.find(key);
  return it != members.end() ? &it->second : nullptr;
}

const char* JsonValue::TypeName() const {
  switch (kind) {
    case Kind::kNull: return "null";
    case Kind::kBoolean: return "boolean";
    case Kind::kUnsigned:
    case Kind::kOtherNumber: return "number";
    case Kind::kString: return "string";
    case Kind::kArray: return "array";
    case Kind::kObject: return "object";
  }
  return "";
}

Result<JsonValue> ParseJson(const std::string& text) {
  Builder builder(text);
  (void)nlohmann::json::sax_parse(text, &builder);
  return builder.Take();
}

}  // namespace backstay
