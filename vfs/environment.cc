#include "vfs/environment.h"

#include <unistd.h>

#include <cstring>

namespace backstay {

const Environment& Environment::AtStart() {
  static const auto* environment = new Environment;
  return *environment;
}

Environment::Environment() {
  for (char** entry = environ; entry != nullptr && *entry != nullptr; entry++) {
    texts_.emplace_back(*entry);
  }
  for (const std::string& text : texts_) entries_.push_back(text.c_str());
  entries_.push_back(nullptr);
}

const char* Environment::Get(const std::string& name) const noexcept {
  const size_t n = name.size();
  for (const std::string& text : texts_) {
    if (text.compare(0, n, name) == 0 && text[n] == '=') return text.c_str() + n + 1;
  }
  return nullptr;
}

}  // namespace backstay
