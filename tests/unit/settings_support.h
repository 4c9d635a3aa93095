// An environment and a JSON file of a test's own.

#ifndef BACKSTAY_TESTS_UNIT_SETTINGS_SUPPORT_H_
#define BACKSTAY_TESTS_UNIT_SETTINGS_SUPPORT_H_

#include <fstream>
#include <map>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/settings/settings.h"

namespace backstay {

class SettingsWorld {
 public:
  SettingsWorld() {
    sources.default_config_file = folder / "default.json";
    sources.getenv = [this](const std::string& name) -> std::optional<std::string> {
      auto found = environment.find(name);
      if (found == environment.end()) return std::nullopt;
      return found->second;
    };
    sources.names = [this] {
      std::vector<std::string> names;
      for (const auto& [name, value] : environment) {
        if (name.rfind("BACKSTAY_", 0) == 0) names.push_back(name);
      }
      return names;
    };
  }

  void File(const std::string& text) { std::ofstream(sources.default_config_file) << text; }
  Result<Settings> Load() { return LoadSettings(sources); }
  // The error of loading; fails the test when there is none.
  std::string Error() {
    Result<Settings> settings = Load();
    REQUIRE_FALSE(settings.ok());
    CHECK(settings.error().code() == Code::kInvalid);
    return settings.error().message();
  }
  std::string FileError(const std::string& text) {
    File(text);
    return Error();
  }
  using Parameters = std::vector<std::pair<std::string, std::string>>;
  Result<DatabaseSettings> For(const std::string& path, const std::string& url = "",
                               const Parameters& parameters = {}) {
    Result<Settings> settings = Load();
    INFO(settings.status().ToString());
    REQUIRE(settings.ok());
    return SettingsFor(*settings, sources, path, url, parameters);
  }

  TempFolder folder;
  std::map<std::string, std::string> environment;
  SettingsSources sources;
};

inline bool Contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Shows the whole text when a part is missing.
#define CHECK_CONTAINS(text, part) CHECK_THAT(text, Catch::Contains(part))
#ifdef BACKSTAY_CATCH2_V3
#undef CHECK_CONTAINS
#define CHECK_CONTAINS(text, part) CHECK_THAT(text, Catch::Matchers::ContainsSubstring(part))
#endif

}  // namespace backstay

#endif  // BACKSTAY_TESTS_UNIT_SETTINGS_SUPPORT_H_
