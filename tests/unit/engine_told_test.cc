// A database whose replication has stopped says so again while it is open, and once however often
// it is opened.

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/engine_application.h"
#include "uploader/engine/database.h"

namespace backstay {
namespace {

constexpr int64_t kLong = 60000;  // ms; reached only when something never happens
constexpr int64_t kMinute = 60000;

class ShiftedClock : public Clock {
 public:
  int64_t WallMs() override { return RealClock()->WallMs() + shift_ms; }
  int64_t MonotonicMs() override { return RealClock()->MonotonicMs() + shift_ms; }
  std::atomic<int64_t> shift_ms{0};
};

struct World {
  LogOptions Log() {
    LogOptions options;
    options.clock = &clock;
    options.sink = [this](std::string_view line) {
      if (line.find("replication stopped") == std::string_view::npos) return;
      const std::lock_guard<std::mutex> lock(mutex);
      ++told;
      last = line;
    };
    return options;
  }
  std::unique_ptr<Database> Open(Application* application, const std::string& name) {
    DatabaseOptions options;
    options.settings.path = folder / name;
    options.settings.min_interval_ms = 0;
    ReplicaSettings replica;
    replica.type = "file";
    replica.path = folder / "replica";
    options.settings.replicas.push_back(replica);
    options.clock = &clock;
    options.logger = &logger;
    options.random = [] { return static_cast<uint64_t>(rand()); };
    options.quiet = [] {};
    Result<std::unique_ptr<Database>> opened = Database::Open(options, application->Host());
    REQUIRE(opened.ok());
    return std::move(*opened);
  }
  bool ToldTimes(int times) {
    for (int64_t waited = 0; told < times && waited < kLong; ++waited) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return told == times;
  }
  std::string Last() {
    const std::lock_guard<std::mutex> lock(mutex);
    return last;
  }

  TempFolder folder;
  ShiftedClock clock;
  std::atomic<int> told{0};
  std::mutex mutex;
  std::string last;
  Logger logger{Log()};
};

void AwaitStop(Database* database) {
  const auto stopped = [&] {
    return database->StatusJson().find("belongs to another database") != std::string::npos;
  };
  for (int64_t waited = 0; !stopped() && waited < kLong; ++waited) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  REQUIRE(stopped());
}

// Descriptors of this process whose file has this name.
int Opened(const std::string& name) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const std::string file = std::filesystem::read_symlink(entry.path(), gone).string();
    if (!gone && file.find(name) != std::string::npos) ++count;
  }
  return count;
}

}  // namespace

TEST_CASE("what an end leaves is neither memory of the database nor its files", "[told]") {
  World world;
  {
    Application owner(world.folder / "owner.db");
    std::unique_ptr<Database> database = world.Open(&owner, "owner.db");
    REQUIRE(database->Sync(kLong));
    CHECK(Opened("/outbox") > 0);
    database->Stop();
  }
  Application application(world.folder / "app.db");
  const int own = Opened("app.db-wal");
  std::unique_ptr<Database> database = world.Open(&application, "app.db");
  AwaitStop(database.get());
  const auto left = [&] { return Opened("/outbox") + Opened("app.db-wal") - own; };
  for (int64_t waited = 0; left() > 0 && waited < kLong; ++waited) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  CHECK(left() == 0);
  // It goes on to answer: at once, for nothing is waited for any more.
  application.Commit(database.get(), "INSERT INTO t(text) VALUES ('x')");
  CHECK(database->Finish(kLong));
  CHECK_FALSE(database->Sync(kLong));
  CHECK(database->StatusJson().find("\"state\": \"error\"") != std::string::npos);
  database->Stop();
}

TEST_CASE("that replication has stopped is said again, at a bounded rate", "[told]") {
  World world;
  {
    Application owner(world.folder / "owner.db");
    std::unique_ptr<Database> database = world.Open(&owner, "owner.db");
    REQUIRE(database->Sync(kLong));
    database->Stop();
  }
  Application application(world.folder / "app.db");
  application.Sql("INSERT INTO t(text) VALUES ('of another database')");
  for (int i = 0; i < 3; ++i) {
    std::unique_ptr<Database> database = world.Open(&application, "app.db");
    AwaitStop(database.get());
    REQUIRE(world.ToldTimes(1));
    database->Stop();
  }
  CHECK(world.Last().find("since") == std::string::npos);
  std::unique_ptr<Database> database = world.Open(&application, "app.db");
  for (int times = 2; times < 5; ++times) {
    // The last line is followed by none until then.
    world.clock.shift_ms += (times == 2 ? 4 : 59) * kMinute;
    AwaitStop(database.get());
    CHECK(world.told == times - 1);
    world.clock.shift_ms += kMinute;
    REQUIRE(world.ToldTimes(times));
    CHECK(world.Last().find("(since ") != std::string::npos);
  }
  database->Stop();
}

}  // namespace backstay
