#include "vfs/json_line.h"

#include <nlohmann/json.hpp>

namespace backstay {

std::string JsonLine(std::initializer_list<std::pair<const char*, std::string_view>> members) {
  std::string line = "{";
  for (const auto& [key, text] : members) {
    if (text.empty()) continue;
    if (line.size() > 1) line += ',';
    line.append("\"").append(key).append("\":");
    line += nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  return line + "}";
}

}  // namespace backstay
