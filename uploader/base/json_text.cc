#include "uploader/base/json_text.h"

#include "uploader/base/clock.h"

namespace backstay {
namespace {

std::string Dump(const nlohmann::json& scalar) {
  return scalar.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

nlohmann::json MsOrNull(int64_t ms) {
  return ms == 0 ? nlohmann::json(nullptr) : nlohmann::json(ms);
}

nlohmann::json TimeOrNull(int64_t ms) {
  return ms == 0 ? nlohmann::json(nullptr) : nlohmann::json(FormatRfc3339(ms));
}

void JsonText::NewLine() {
  if (indent_ < 0) return;
  text_ += '\n';
  text_.append(static_cast<size_t>(indent_) * static_cast<size_t>(depth_), ' ');
}

void JsonText::Begin(std::string_view key) {
  if (!empty_) text_ += ',';
  if (depth_ > 0) NewLine();
  empty_ = false;
  if (key.data() == nullptr) return;
  text_ += Dump(key);
  text_ += indent_ < 0 ? ":" : ": ";
}

void JsonText::Open(char bracket, std::string_view key) {
  Begin(key);
  text_ += bracket;
  ++depth_;
  empty_ = true;
}

void JsonText::Close(char bracket) {
  --depth_;
  if (!empty_) NewLine();
  text_ += bracket;
  empty_ = false;
}

void JsonText::Add(std::string_view key, const nlohmann::json& scalar) {
  Begin(key);
  text_ += Dump(scalar);
}

}  // namespace backstay
