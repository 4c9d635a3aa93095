// When the metrics of a database are written anew, and what a folder that hangs holds up.

#include <atomic>
#include <string>
#include <thread>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/base/file.h"
#include "uploader/base/thread.h"
#include "uploader/engine/metrics_file.h"

namespace backstay {
namespace {

constexpr int64_t kLong = 20000;  // ms; reached only when something hangs

class HandClock : public Clock {
 public:
  int64_t WallMs() override { return now_ms; }
  int64_t MonotonicMs() override { return now_ms; }
  std::atomic<int64_t> now_ms{1000};
};

struct World {
  static LogOptions Sink(std::string* logged) {
    LogOptions options;
    options.sink = [logged](std::string_view line) { *logged += line; };
    return options;
  }
  std::string Written() {
    REQUIRE(writer.Await(kLong));
    return *ReadFile(folder.path() + "/" + MetricsFileName("backstay", "/d/app.db"), 1 << 20);
  }

  TempFolder folder;
  HandClock clock;
  std::string logged;
  Logger logger{Sink(&logged)};
  MetricsWriter writer{{folder.path(), &logger, &clock}};
};

}  // namespace

TEST_CASE("metrics are written while nothing changes, too, but not with each change", "[metrics]") {
  World world;
  HandClock& clock = world.clock;
  MetricsFile file(&world.writer, "/d/app.db", &clock);
  CHECK(file.Due(true, false));
  file.Write(R"({"db": "/d/app.db", "state": "starting"})", true);
  CHECK_THAT(world.Written(), Catch::Contains("backstay_up{db=\"/d/app.db\"} 1\n"));
  clock.now_ms += 4999;
  CHECK_FALSE(file.Due(true, false));
  clock.now_ms += 1;
  // What changed meanwhile is not forgotten.
  CHECK(file.Due(false, false));
  file.Write(R"({"db": "/d/app.db", "state": "replicating"})", true);
  clock.now_ms += 14999;
  CHECK_FALSE(file.Due(false, false));
  clock.now_ms += 1;
  CHECK(file.Due(false, false));
  file.Write(R"({"db": "/d/app.db", "state": "ended"})", false);
  CHECK(file.Due(false, true));
  CHECK_THAT(world.Written(), Catch::Contains("backstay_up{db=\"/d/app.db\"} 0\n"));
  world.writer.Finish(kLong);
  MetricsWriter none({"", &world.logger, &clock});
  CHECK_FALSE(MetricsFile(&none, "/d/app.db", &clock).Due(true, true));
  CHECK_FALSE(MetricsFile(nullptr, "/d/app.db", &clock).Due(true, true));
}

TEST_CASE("a folder that hangs holds up nobody, and is told", "[metrics]") {
  World world;
  std::atomic<bool> hangs{true};
  std::atomic<int> writes{0};
  std::string last;
  MetricsWriter writer({world.folder.path(), &world.logger, &world.clock,
                        [&](const std::string&, const std::string&, const std::string& text) {
                          ++writes;
                          while (hangs) std::this_thread::yield();
                          last = text;
                          return Status::Ok();
                        }});
  const std::string status = R"({"db": "/d/app.db", "state": "replicating"})";
  writer.Put("/d/app.db", {status, true});
  while (writes == 0) std::this_thread::yield();
  writer.Put("/d/app.db", {status, true});
  CHECK(world.logged.empty());
  world.clock.now_ms += 11000;
  writer.Put("/d/app.db", {status, false});
  CHECK_THAT(world.logged, Catch::Contains("has not answered for 11 s"));
  CHECK_FALSE(writer.Await(1));
  SECTION("it answers again: the newest text is written") {
    hangs = false;
    REQUIRE(writer.Await(kLong));
    CHECK(writes == 2);
    CHECK_THAT(last, Catch::Contains("backstay_up{db=\"/d/app.db\"} 0\n"));
    CHECK_THAT(world.logged, Catch::Contains("metrics are written again"));
    CHECK_THAT(world.logged, Catch::Contains("recovered"));
  }
  SECTION("the process ends") {
    // It has hung for longer: this does not wait.
    writer.Finish(10000);
    CHECK(writes == 1);
    hangs = false;
  }
}

TEST_CASE("where no thread can be started nobody waits for it", "[metrics]") {
  World world;
  const size_t usual = Thread::stack_bytes.exchange(size_t{1} << 56);
  world.writer.Put("/d/app.db", {R"({"db": "/d/app.db", "state": "replicating"})", true});
  Thread::stack_bytes = usual;
  CHECK(world.writer.Await(0));
  world.writer.Finish(kLong);
}

TEST_CASE("each path has a file of its own", "[metrics]") {
  CHECK(MetricsFileName("backstay", "/a/app.db") != MetricsFileName("backstay", "/b/app.db"));
  CHECK(MetricsFileName("backstay", "/a/\xff/ \n?").find("backstay-___-") == 0);
  CHECK(MetricsFileName("backstay", std::string(5000, 'a')).size() < 200);
}

}  // namespace backstay
