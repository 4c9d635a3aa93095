// Configuration: what a changed file leads to while the application runs.

#include "tests/unit/log_writer_bench.h"
#include "tests/unit/settings_support.h"
#include "uploader/engine/configuration.h"

namespace backstay {
namespace {

constexpr char kGood[] = R"({"dbs":[{"path":"/x/a.db","replicas":[{"url":"file:///r"}]}]})";

struct ConfigurationWorld : SettingsWorld {
  ConfigurationWorld() {
    File(kGood);
    configuration = std::make_unique<Configuration>(sources, &clock);
  }
  static LogOptions Sink(std::string* logged) {
    LogOptions options;
    options.sink = [logged](std::string_view line) { *logged += line; };
    return options;
  }
  std::optional<Settings> Look() {
    clock.now_ms += 5000;
    return configuration->Look(false, &logger);
  }

  TestClock clock;
  std::string logged;
  Logger logger{Sink(&logged)};
  std::unique_ptr<Configuration> configuration;
};

}  // namespace

TEST_CASE("a configuration file that is gone is told, and what it said holds", "[engine]") {
  ConfigurationWorld world;
  REQUIRE(unlink(world.sources.default_config_file.c_str()) == 0);
  CHECK(!world.Look());
  CHECK(world.logged.empty());  // a mount may be exchanged
  CHECK(!world.Look());
  CHECK(world.logged.find("\"level\":\"WARN\"") != std::string::npos);
  CHECK(world.logged.find("put it back") != std::string::npos);
  world.logged.clear();
  world.File(kGood);
  CHECK(world.Look());
  CHECK(world.logged.find("\"event\":\"recovered\"") != std::string::npos);
}

TEST_CASE("a configuration file that never was there is not missed", "[engine]") {
  ConfigurationWorld world;
  world.sources.default_config_file += ".other";
  world.configuration = std::make_unique<Configuration>(world.sources, &world.clock);
  for (int i = 0; i < 3; ++i) CHECK(!world.Look());
  CHECK(world.logged.empty());
}

}  // namespace backstay
