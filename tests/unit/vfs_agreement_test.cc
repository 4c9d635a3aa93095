// The shim selects databases from the file before there is an engine, which reads it in full: both
// must select the same.

#include <fstream>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/settings/settings.h"
#include "vfs/selection.h"

namespace backstay {
namespace {

// By the engine; a file with a problem selects everything, so that the problem is told.
bool EngineSelects(const std::string& config, const std::string& path) {
  SettingsSources sources = ProcessSources();
  sources.config_file = config;
  Result<Settings> settings = LoadSettings(sources);
  return !settings.ok() || SettingsFor(*settings, sources, path, "", {}).ok();
}

bool ShimSelects(const std::string& config, const std::string& path) {
  SelectionOptions options;
  options.config = config;
  options.config_required = true;
  return Selection(options).Selects(path);
}

}  // namespace

TEST_CASE("Shim and engine select the same databases", "[config_file]") {
  TempFolder folder;
  const std::string config = folder / "backstay.json";
  const std::vector<std::string> databases = {
      R"("path":"/data/app.db")",
      R"("path":"/data/*.db")",
      R"("path":"/data/**/*.db")",
      R"("path":"/**/app.db")",
      R"("path":"/data/*/**/app.db")",
      R"("path":"/data/**/x/**/app.db")",
      R"("dir":"/data","pattern":"*.db")",
      R"("dir":"/data//","pattern":"app*","recursive":false)",
      R"("dir":"/data","pattern":"*.db","recursive":true,"watch":true)",
      R"("dir":"/data/[x]","pattern":"*.db")",
      R"("dir":"$HOME_OF_NOBODY","pattern":"*.db")",
      R"("dir":"/data","path":"/data/app.db","pattern":"*.db")",
      R"("dir":"/data")",
      R"("path":"/data/app.db","pattern":null,"dir":null,"recursive":null)",
  };
  const std::vector<std::string> paths = {"/data/app.db",     "/data/x/app.db", "/data/x/y/app.db",
                                          "/data/app.sqlite", "/other/app.db",  "/app.db",
                                          "/data/[x]/a.db",   "/data/x/a.db"};
  size_t selected = 0;
  for (const std::string& database : databases) {
    std::ofstream(config)
        << R"({"dbs":[{)" << database
        << R"(,"monitor-interval":"1s","replicas":[{"url":"file:///r/{name}"}]}]})";
    for (const std::string& path : paths) {
      INFO(database << " and " << path);
      CHECK(ShimSelects(config, path) == EngineSelects(config, path));
      selected += ShimSelects(config, path) ? 1 : 0;
    }
  }
  CHECK(selected > databases.size());
  CHECK(selected < databases.size() * paths.size());
}

}  // namespace backstay
