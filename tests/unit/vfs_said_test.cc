// What the shim says without an engine, how often, and what it says of a selection.

#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/engine_api.h"
#include "vfs/config_file.h"
#include "vfs/environment.h"
#include "vfs/own_log.h"
#include "vfs/said.h"
#include "vfs/selection.h"
#include "vfs/shortage.h"

namespace backstay {
namespace {

constexpr int64_t kMinute = 60 * 1000;

TEST_CASE("behind a give-back the engine is left alone for half a minute", "[vfs]") {
  int64_t now_ms = kMinute;
  Shortage shortage{{[&now_ms] { return now_ms; }}};
  CHECK_FALSE(shortage.Lasts());
  CHECK(shortage.Line().empty());
  shortage.Cancel(shortage.Begin(Shortage::kMemory));
  CHECK_FALSE(shortage.Lasts());
  (void)shortage.Begin(Shortage::kDescriptors);
  now_ms += kMinute / 2 - 1;
  CHECK(shortage.Lasts());
  shortage.Cancel(shortage.Begin(Shortage::kDescriptors));
  CHECK(shortage.Lasts());
  CHECK(shortage.Line().find("ulimit -n") != std::string::npos);
  now_ms += 1;
  CHECK_FALSE(shortage.Lasts());
  (void)shortage.Begin(Shortage::kMemory);
  CHECK(shortage.Lasts());
  CHECK(shortage.Line().find("ulimit -v") != std::string::npos);
}

struct Told {
  // Runs into it each minute from `from` to before `to`; returns the minutes in which it was said.
  std::vector<int64_t> Each(int64_t from, int64_t to, const std::string& line, Repeat repeat) {
    std::vector<int64_t> told;
    for (int64_t minute = from; minute < to; minute++) {
      now_ms = minute * kMinute;
      if (!said.Due(line, repeat)) continue;
      said.Told(line);
      told.push_back(minute);
    }
    return told;
  }

  int64_t now_ms = 0;
  Said said{{[this] { return now_ms; }}};
};

TEST_CASE("What lasts is said at once, after 5 minutes, then every hour", "[said]") {
  Told told;
  const std::vector<int64_t> times = {0, 5, 65, 125, 185};
  CHECK(told.Each(0, 200, "a", Repeat::kWhileItLasts) == times);
  CHECK(told.Each(200, 201, "b", Repeat::kWhileItLasts).size() == 1);
  CHECK(told.Each(0, 200, "once", Repeat::kNever) == std::vector<int64_t>{0});
}

TEST_CASE("What is over is new when it comes back", "[said]") {
  Told told;
  CHECK(told.Each(0, 7, "a", Repeat::kWhileItLasts) == std::vector<int64_t>{0, 5});
  told.said.Forget("a");
  CHECK(told.Each(7, 14, "a", Repeat::kWhileItLasts) == std::vector<int64_t>{7, 12});
}

TEST_CASE("What could not be said is said the next time", "[said]") {
  Said said;
  CHECK(said.Due("a", Repeat::kNever));
  CHECK(said.Due("a", Repeat::kNever));
  said.Told("a");
  CHECK_FALSE(said.Due("a", Repeat::kNever));
}

TEST_CASE("However many lines there are, the next one is said", "[said]") {
  Told told;
  for (int i = 0; i < 3000; i++) {
    told.now_ms = i;
    const std::string line = std::to_string(i);
    REQUIRE(told.said.Due(line, Repeat::kNever));
    told.said.Told(line);
  }
  CHECK_FALSE(told.said.Due("2999", Repeat::kNever));
}

std::vector<std::string> LinesOf(const std::string& file) {
  std::ifstream stream(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

TEST_CASE("Without an engine a line goes where the settings say", "[own_log]") {
  TempFolder folder;
  const std::string file = folder / "log";
  OwnLog({"warn", "", file}).Write(BACKSTAY_INFO, "/a.db", "less");
  OwnLog({"warn", "", file}).Write(BACKSTAY_WARN, "/a.db", "more");
  OwnLog({"", "text", file}).Write(BACKSTAY_INFO, "", "plain");
  const std::vector<std::string> lines = LinesOf(file);
  REQUIRE(lines.size() == 2);
  const auto json = nlohmann::json::parse(lines[0]);
  CHECK(json["level"] == "WARN");
  CHECK(json["msg"] == "more");
  CHECK(json["db"] == "/a.db");
  CHECK(lines[1].find("Z INFO backstay: plain") != std::string::npos);
}

TEST_CASE("A selection that names nothing says so", "[selection]") {
  TempFolder folder;
  SelectionOptions options;
  const auto why = [&] { return Selection(options).WhyNothing(); };
  const auto says = [&](const std::string& part) {
    INFO(why());
    return why().find(part) != std::string::npos;
  };
  SECTION("a path") {
    options.pattern = folder / "a.db";
    CHECK(says("BACKSTAY_DB names " + options.pattern + ", where no file is"));
    std::ofstream(options.pattern) << "x";
    CHECK(why().empty());
  }
  SECTION("a glob, and a path of the JSON file") {
    options.pattern = folder / "*.db";
    options.config = folder / "backstay.json";
    std::ofstream(options.config) << R"({"dbs":[{"path":"/no/such.db"}]})";
    CHECK(says("BACKSTAY_DB names " + options.pattern + ", dbs[].path names /no/such.db"));
    std::ofstream(folder / "x.db") << "x";
    CHECK(why().empty());
  }
  SECTION("no selection at all") {
    CHECK(Selection(options).unset());
    CHECK(says("no replica is set; remedy: BACKSTAY_REPLICA_URL"));
    options.preloaded = true;
    CHECK(says("remedy: BACKSTAY_DB and BACKSTAY_REPLICA_URL"));
    options.replica_set = true;
    CHECK(says("BACKSTAY_REPLICA_URL alone selects none"));
    CHECK_FALSE(Selection(options).unset());
    options.preloaded = false;
    CHECK(why().empty());
  }
  SECTION("a broken file, which the engine reports") {
    options.config = folder / "backstay.json";
    options.config_required = true;
    CHECK(why().empty());
  }
}

TEST_CASE("The JSON file's texts are expanded as the engine does", "[config_file]") {
  TempFolder folder;
  const std::string path = folder / "backstay.json";
  const char* value = Environment::AtStart().Get("PATH");
  REQUIRE(value != nullptr);
  std::ofstream(path) << R"({"logging":{"level":"warn","file":"/${PATH}/log"},
      "dbs":[{"path":"/$PATH/a.db"},{"path":"/$$PATH/$/$1.db"}]})";
  ConfigFile file;
  REQUIRE(file.Read(path));
  CHECK(file.paths ==
        std::vector<std::string>{"/" + std::string(value) + "/a.db", "/$PATH/$/$1.db"});
  CHECK(file.log.level == "warn");
  CHECK(file.log.file == "/" + std::string(value) + "/log");
  std::ofstream(path) << R"({"dbs":[{"path":"$BACKSTAY_TEST_UNSET/a.db"}]})";
  CHECK_FALSE(ConfigFile().Read(path));
}

}  // namespace
}  // namespace backstay
