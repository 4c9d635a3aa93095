#include "uploader/state/exposition.h"

namespace backstay {
namespace {

std::string Escaped(std::string_view value) {
  std::string out;
  for (char c : value) {
    if (c == '\n') {
      out += "\\n";
      continue;
    }
    if (c == '\\' || c == '"') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::string Label(const char* name, std::string_view value) {
  return std::string(name) + "=\"" + Escaped(value) + "\"";
}

std::string Seconds(int64_t ms) {
  const uint64_t size = ms < 0 ? 0 - static_cast<uint64_t>(ms) : static_cast<uint64_t>(ms);
  const std::string rest = std::to_string(size % 1000);
  return (ms < 0 ? "-" : "") + std::to_string(size / 1000) + "." +
         std::string(3 - rest.size(), '0') + rest;
}

void Exposition::Family(const char* name, const char* type, const char* help) {
  name_ = name;
  head_ = std::string("# HELP ") + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
}

void Exposition::Sample(const std::string& labels, const std::string& value) {
  text_ += head_ + name_ + "{" + labels + "} " + value + "\n";
  head_.clear();
}

}  // namespace backstay
