#include "vfs/sqlite_copy.h"

#include <cstring>

namespace backstay {

char* SqliteCopy::Text(const std::string& text) const noexcept {
  if (alloc == nullptr || free == nullptr) return nullptr;
  char* copy = static_cast<char*>(alloc(static_cast<int>(text.size() + 1)));
  if (copy != nullptr) std::memcpy(copy, text.c_str(), text.size() + 1);
  return copy;
}

}  // namespace backstay
