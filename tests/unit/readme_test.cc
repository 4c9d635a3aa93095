// The manual and the code say the same.

#include <fstream>
#include <sstream>
#include <string>

#include "tests/support/catch.h"
#include "uploader/settings/settings.h"

namespace backstay {
namespace {

TEST_CASE("README.md holds the table of settings that the code has") {
  std::ifstream file(BACKSTAY_SOURCE_FOLDER "/README.md");
  std::stringstream readme;
  readme << file.rdbuf();
  INFO("put this table into README.md:\n" << SettingsTable());
  CHECK(readme.str().find("\n" + SettingsTable()) != std::string::npos);
}

}  // namespace
}  // namespace backstay
