#include "vfs/file_name.h"

#include <strings.h>

#include <cstdlib>
#include <cstring>

namespace backstay {

UriParameters ReadUriParameters(const char* zName) {
  UriParameters parameters;
  const char* z = zName + std::strlen(zName) + 1;
  while (*z != '\0') {
    const char* value = z + std::strlen(z) + 1;
    parameters.emplace_back(z, value);
    z = value + std::strlen(value) + 1;
  }
  return parameters;
}

const std::string* FindParameter(const UriParameters& parameters, std::string_view key) {
  for (const auto& [name, value] : parameters) {
    if (name == key) return &value;
  }
  return nullptr;
}

bool IsTrue(const UriParameters& parameters, std::string_view key) {
  const std::string* value = FindParameter(parameters, key);
  if (value == nullptr) return false;
  for (const char* word : {"yes", "true", "on"}) {
    if (strcasecmp(value->c_str(), word) == 0) return true;
  }
  return std::atoi(value->c_str()) != 0;
}

std::string DatabaseOfWal(const char* zName) {
  constexpr std::string_view kSuffix = "-wal";
  std::string_view name(zName);
  if (name.size() <= kSuffix.size() || !name.ends_with(kSuffix)) return {};
  name.remove_suffix(kSuffix.size());
  return std::string(name);
}

}  // namespace backstay
