#include "uploader/engine/host_version.h"

namespace backstay {

std::string SqliteVersionText(int version) {
  return std::to_string(version / 1000000) + "." + std::to_string(version / 1000 % 1000) + "." +
         std::to_string(version % 1000);
}

}  // namespace backstay
