#include "uploader/settings/variables.h"

#include <optional>

#include "uploader/settings/units.h"

namespace backstay {
namespace {

Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

// What a '$' in a text stands for.
struct Reference {
  std::string name;
  bool escaped = false;  // "$$": a '$'
  size_t end = 0;        // behind it; npos: a brace is open
};

bool StartsName(const std::string& text, size_t at) {
  return at < text.size() && (text[at] == '_' || (text[at] >= 'A' && text[at] <= 'Z') ||
                              (text[at] >= 'a' && text[at] <= 'z'));
}

std::optional<Reference> ReferenceAt(const std::string& text, size_t at) {
  const auto refers = [&](size_t i) {
    return i < text.size() && (text[i] == '{' || StartsName(text, i));
  };
  if (text[at] != '$') return std::nullopt;
  if (at + 1 < text.size() && text[at + 1] == '$' && refers(at + 2)) {
    return Reference{"", true, at + 2};
  }
  if (!refers(at + 1)) return std::nullopt;
  if (text[at + 1] == '{') {
    const size_t close = text.find('}', at);
    if (close == std::string::npos) return Reference{"", false, close};
    return Reference{text.substr(at + 2, close - at - 2), false, close + 1};
  }
  size_t end = at + 1;
  while (StartsName(text, end) || (end < text.size() && text[end] >= '0' && text[end] <= '9')) {
    ++end;
  }
  return Reference{text.substr(at + 1, end - at - 1), false, end};
}

}  // namespace

Result<std::string> ExpandVariables(const SettingsSources& sources, const std::string& text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const std::optional<Reference> reference = ReferenceAt(text, at);
    if (!reference) {
      out += text[at++];
      continue;
    }
    if (reference->end == std::string::npos) {
      return Invalid("\"${\" has no \"}\"; write \"$${\" for \"${\"");
    }
    at = reference->end;
    if (reference->escaped) {
      out += '$';
      continue;
    }
    std::optional<std::string> value = sources.getenv(reference->name);
    if (!value.has_value()) {
      return Invalid("environment variable " + Quote(reference->name) +
                     " is not set; set it, or write \"$$\" for \"$\"");
    }
    out += *value;
  }
  return out;
}

bool HasVariable(const std::string& text) {
  for (size_t at = 0; at < text.size(); ++at) {
    if (ReferenceAt(text, at)) return true;
  }
  return false;
}

}  // namespace backstay
