// Memory that runs out on the engine's threads, at any allocation: they start over, say so, and in
// the end the replica is the database.

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/each_nth.h"
#include "tests/support/failing_new.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/engine_application.h"
#include "uploader/base/file.h"
#include "uploader/base/thread.h"
#include "uploader/engine/database.h"

namespace backstay {
namespace {

constexpr int64_t kLong = 60000;  // ms; reached only when something never happens
// A stack, in bytes, that no processor's address space has room for. What a kernel would map and
// merely not back must not be asked for: an emulator keeps a record of each of its pages.
constexpr size_t kNoAddressSpace = size_t{1} << 56;

class Lines {
 public:
  LogOptions Options() {
    LogOptions options;
    options.sink = [this](std::string_view line) {
      std::lock_guard<std::mutex> lock(mutex_);
      text_ += line;
    };
    return options;
  }
  size_t Count(const std::string& part) {
    std::lock_guard<std::mutex> lock(mutex_);
    size_t count = 0;
    for (size_t at = 0; (at = text_.find(part, at)) != std::string::npos; ++at) ++count;
    return count;
  }
  std::string text() {
    std::lock_guard<std::mutex> lock(mutex_);
    return text_;
  }

 private:
  std::mutex mutex_;
  std::string text_;
};

nlohmann::json ReplicaStatus(Database* database) {
  return nlohmann::json::parse(database->StatusJson()).at("replicas").at(0);
}

struct World {
  World() {
    DatabaseOptions options;
    options.settings.path = folder / "app.db";
    options.settings.min_interval_ms = 0;
    ReplicaSettings replica;
    replica.type = "file";
    replica.path = folder / "replica";
    options.settings.replicas.push_back(replica);
    options.clock = RealClock();
    options.logger = &logger;
    options.random = [] { return static_cast<uint64_t>(rand()); };
    options.quiet = [] {};
    Result<std::unique_ptr<Database>> opened = Database::Open(options, application.Host());
    REQUIRE(opened.ok());
    database = std::move(*opened);
  }
  void Write(int commits) {
    for (int i = 0; i < commits; ++i) {
      application.Commit(database.get(),
                         "INSERT INTO t(text) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i "
                         "+ 1 FROM n WHERE i < 20) SELECT hex(randomblob(200)) FROM n");
      application.Commit(database.get(),
                         "UPDATE t SET text = hex(randomblob(100)) WHERE id % 19 = 3");
      std::this_thread::yield();
    }
  }
  void CheckSame() {
    INFO(lines.text());
    bool synced = database->Sync(kLong);
    INFO(database->StatusJson());
    REQUIRE(synced);
    RestoreTo(folder / "replica", folder / "restored.db");
    REQUIRE(application.Same(folder / "restored.db"));
  }

  TempFolder folder;
  Lines lines;
  Logger logger{lines.Options()};
  Application application{folder / "app.db"};
  std::unique_ptr<Database> database;
};

// Writes while allocations fail, until a thread has failed.
void Starve(World* world, const char* thread, uint32_t one_in) {
  const uint64_t before = ReplicaStatus(world->database.get())["thread_failures"];
  fail_on = thread;
  fail_one_in = one_in;
  for (int i = 0; i < 120; ++i) {
    world->Write(2);
    if (i % 20 == 19) world->application.RestartWal(world->database.get());
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    if (i >= 20 && ReplicaStatus(world->database.get())["thread_failures"] > before) break;
  }
  fail_one_in = 0;
}

}  // namespace

TEST_CASE("a thread that runs out of memory starts over and says so", "[threads]") {
  for (const char* thread : {"backstay-work", "backstay-ship"}) {
    INFO(thread);
    World world;
    world.Write(5);
    world.CheckSame();
    Starve(&world, thread, 40);
    REQUIRE(ReplicaStatus(world.database.get())["thread_failures"] > 0);
    world.Write(5);
    world.CheckSame();
    for (int i = 0; i < 600 && world.lines.Count("all threads work again") == 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    REQUIRE(world.lines.Count("thread failed and starts over: out of memory") == 1);
    REQUIRE(world.lines.Count("all threads work again") == 1);
    REQUIRE(ReplicaStatus(world.database.get())["error"].is_null());
  }
}

TEST_CASE("a sync waits for threads that could not be started", "[threads]") {
  const size_t usual = Thread::stack_bytes.exchange(kNoAddressSpace);
  World world;
  Thread::stack_bytes = usual;
  REQUIRE(world.lines.Count("no thread can be started") == 1);
  // Also for who asks the state folder.
  Result<std::string> file = ReadFile(world.folder / "app.db-backstay/status.json", 1 << 20);
  REQUIRE(file.ok());
  for (const std::string& text : {*file, world.database->StatusJson()}) {
    const nlohmann::json status = nlohmann::json::parse(text);
    REQUIRE(status["state"] == "error");
    const std::string error = status["replicas"][0]["error"];
    REQUIRE(error.find("ulimit -u") != std::string::npos);
  }
  world.CheckSame();
  REQUIRE(ReplicaStatus(world.database.get())["error"].is_null());
  REQUIRE(world.lines.Count("threads can be started again") == 1);
}

TEST_CASE("memory that runs out anywhere, often or seldom, loses nothing", "[threads]") {
  const std::vector<uint32_t> all = {1, 4, 20, 60, 300, 1500};
  for (size_t i = 0; i < all.size(); i += std::min(EachNth(), 3u)) {
    const uint32_t one_in = all[i];
    INFO(one_in);
    World world;
    Starve(&world, "backstay-", one_in);
    Starve(&world, "backstay-job", one_in);
    world.Write(3);
    world.CheckSame();
    Starve(&world, "backstay-", one_in);
    world.CheckSame();
  }
}

}  // namespace backstay
