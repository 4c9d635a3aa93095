// A snapshot at least so often while the database changes, with a clock that is stepped. The engine
// is the real one with all its threads.

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <random>
#include <string>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/engine_application.h"
#include "uploader/engine/database.h"

namespace backstay {
namespace {

constexpr int64_t kLong = 60000;  // ms; reached only when something never happens
constexpr int64_t kHourMs = 3600 * 1000;

class SteppedClock : public Clock {
 public:
  int64_t WallMs() override { return RealClock()->WallMs() + shift_ms; }
  int64_t MonotonicMs() override { return RealClock()->MonotonicMs() + shift_ms; }
  std::atomic<int64_t> shift_ms{0};
};

class Changing {
 public:
  explicit Changing(int64_t snapshot_interval_ms) {
    DatabaseOptions options;
    options.settings.path = folder_ / "app.db";
    options.settings.snapshot_interval_ms = snapshot_interval_ms;
    ReplicaSettings replica;
    replica.type = "file";
    replica.path = folder_ / "replica";
    options.settings.replicas.push_back(replica);
    options.clock = &clock_;
    options.logger = &logger_;
    options.random = [this] {
      std::lock_guard<std::mutex> lock(mutex_);
      return random_();
    };
    options.quiet = [] {};
    options.look = [this](bool) { Count(&looks_); };
    auto opened = Database::Open(options, application_.Host());
    REQUIRE(opened.ok());
    database_ = std::move(*opened);
    REQUIRE(database_->Sync(kLong));
  }
  ~Changing() { database_->Stop(); }

  void Commit() {
    application_.Commit(database_.get(), "INSERT INTO t(text) VALUES (hex(randomblob(50)))");
    REQUIRE(database_->Sync(kLong));
  }
  // Until what is due then has been looked for.
  void Pass(int64_t ms) {
    clock_.shift_ms += ms;
    std::unique_lock<std::mutex> lock(mutex_);
    const int seen = looks_ + 2;
    REQUIRE(
        changed_.wait_for(lock, std::chrono::milliseconds(kLong), [&] { return looks_ >= seen; }));
  }
  bool Await(int snapshots) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(kLong),
                             [&] { return snapshots_ >= snapshots; });
  }
  int snapshots() {
    std::lock_guard<std::mutex> lock(mutex_);
    return snapshots_;
  }

 private:
  void Count(int* what) {
    std::lock_guard<std::mutex> lock(mutex_);
    ++*what;
    changed_.notify_all();
  }
  LogOptions Counting() {
    LogOptions options;
    options.clock = &clock_;
    options.sink = [this](std::string_view line) {
      if (line.find("snapshot begins") != std::string_view::npos) Count(&snapshots_);
    };
    return options;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  int looks_ = 0;      // guarded by mutex_
  int snapshots_ = 0;  // guarded by mutex_; begun
  std::mt19937_64 random_{11};
  TempFolder folder_;
  SteppedClock clock_;
  Logger logger_{Counting()};
  Application application_{folder_ / "app.db"};
  std::unique_ptr<Database> database_;
};

}  // namespace

TEST_CASE("a snapshot at least so often while the database changes, and none while it is idle") {
  Changing database(24 * kHourMs);
  CHECK(database.snapshots() == 1);
  database.Pass(25 * kHourMs);
  CHECK(database.snapshots() == 1);
  database.Commit();
  CHECK(database.Await(2));
  database.Commit();
  database.Pass(23 * kHourMs);
  CHECK(database.snapshots() == 2);
  database.Pass(kHourMs);
  CHECK(database.Await(3));
  database.Pass(100 * kHourMs);
  CHECK(database.snapshots() == 3);
}

TEST_CASE("without an interval the size of the log alone decides") {
  Changing database(0);
  database.Commit();
  database.Pass(1000 * kHourMs);
  CHECK(database.snapshots() == 1);
}

}  // namespace backstay
