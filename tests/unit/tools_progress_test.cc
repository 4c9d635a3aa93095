// Progress: the bar of a terminal and the lines of a log, on a clock that the test moves.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tools/progress.h"

namespace backstay {
namespace {

class SteppedClock : public Clock {
 public:
  int64_t WallMs() override { return 1795000000000 + now_ms; }
  int64_t MonotonicMs() override { return now_ms; }
  int64_t now_ms = 50000;
};

struct World {
  explicit World(bool terminal)
      : progress({"/data/app.db", &clock, terminal,
                  [this](const std::string& text) { shown.push_back(text); }}) {}

  void Begin(uint64_t total) {
    progress.Begin(
        "restoring", "s3://bucket/app", [this] { return received; }, total);
  }
  // So many seconds, a tick every 250 ms, with bytes that come at a steady rate.
  void Run(int seconds, uint64_t per_second) {
    for (int i = 0; i < 4 * seconds; ++i) {
      clock.now_ms += 250;
      received += per_second / 4;
      progress.Tick();
    }
  }

  SteppedClock clock;
  uint64_t received = 1000;
  std::vector<std::string> shown;
  Progress progress;
};

constexpr uint64_t kMiB = 1 << 20;

}  // namespace

TEST_CASE("a line every few seconds where there is no terminal", "[tools]") {
  World world(false);
  world.Begin(100 * kMiB);
  world.Run(4, 2 * kMiB);
  CHECK(world.shown.empty());
  world.Run(16, 2 * kMiB);
  REQUIRE(world.shown.size() == 4);
  const std::string& text = world.shown.back();
  CHECK(text.back() == '\n');
  const auto line = nlohmann::json::parse(text);
  CHECK(line["level"] == "INFO");
  CHECK(line["logger"] == "backstay");
  CHECK(line["msg"] == "restoring");
  CHECK(line["db"] == "/data/app.db");
  CHECK(line["replica"] == "s3://bucket/app");
  CHECK(line["bytes"] == 40 * kMiB);
  CHECK(line["total_bytes"] == 100 * kMiB);
  CHECK(line["bytes_per_second"] == 2 * kMiB);
  CHECK(line["seconds_left"] == 30);
}

TEST_CASE("a server that says nothing shows as a rate that falls to none", "[tools]") {
  World world(false);
  world.Begin(100 * kMiB);
  world.Run(20, 2 * kMiB);
  world.Run(30, 0);
  const auto line = nlohmann::json::parse(world.shown.back());
  CHECK(line["bytes_per_second"] == 0);
  CHECK_FALSE(line.contains("seconds_left"));
}

TEST_CASE("a bar on a terminal, which goes away at the end", "[tools]") {
  World world(true);
  world.Begin(100 * kMiB);
  world.Run(25, 2 * kMiB);
  CHECK(world.shown.back() ==
        "\r\033[Krestoring [############............] 50 %, 50.0 MiB of 100.0 MiB, 2.0 MiB/s, 25 s "
        "left");
  world.progress.End();
  CHECK(world.shown.back() == "\r\033[K");
  world.Run(5, 0);
  CHECK(world.shown.back() == "\r\033[K");
}

TEST_CASE("what is there already counts, but is no speed", "[tools]") {
  World world(true);
  world.Begin(100 * kMiB);
  world.Run(5, 2 * kMiB);
  world.progress.Found(50 * kMiB);
  world.Run(5, 2 * kMiB);
  CHECK(world.shown.back().find("70 %") != std::string::npos);
  CHECK(world.shown.back().find(" 2.0 MiB/s") != std::string::npos);
}

TEST_CASE("what is over at once shows nothing, nor what came twice more than there is", "[tools]") {
  World world(true);
  world.Begin(4 * kMiB);
  world.Run(1, 2 * kMiB);
  world.progress.End();
  const size_t shown = world.shown.size();
  CHECK(shown <= 2);
  world.Begin(4 * kMiB);
  world.Run(5, 2 * kMiB);
  CHECK(world.shown.back().find("100 %") != std::string::npos);
}

}  // namespace backstay
