#include "vfs/environment.h"

#include <unistd.h>

#include <cstring>

namespace backstay {

const Environment& Environment::AtStart() {
  static const auto* environment = new Environment;
  return *environment;
}

Environment::Environment() {
  size_t count = 0, bytes = 0;
  const auto each = [](auto visit) {
    for (char** entry = environ; entry != nullptr && *entry != nullptr; entry++) visit(*entry);
  };
  each([&](const char* text) { count++, bytes += std::strlen(text) + 1; });
  texts_.reserve(bytes);  // pointers into it stay good
  entries_.reserve(count + 1);
  each([&](const char* text) {
    if (entries_.size() == count || texts_.size() + std::strlen(text) + 1 > bytes) return;
    entries_.push_back(texts_.data() + texts_.size());
    texts_.insert(texts_.end(), text, text + std::strlen(text) + 1);
  });
  entries_.push_back(nullptr);
}

const char* Environment::Get(const std::string& name) const noexcept {
  const size_t n = name.size();
  for (const char* const* entry = entries(); *entry != nullptr; entry++) {
    if (std::strncmp(*entry, name.c_str(), n) == 0 && (*entry)[n] == '=') return *entry + n + 1;
  }
  return nullptr;
}

}  // namespace backstay
