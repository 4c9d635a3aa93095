// What a replica holds while its first snapshot is being made.

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/engine_application.h"
#include "tests/unit/replica_support.h"
#include "uploader/engine/database.h"

namespace backstay {
namespace {

constexpr int64_t kLong = 60000;  // ms; reached only when something never happens

// The first frame of a snapshot arrives when it is let in.
class SlowFrame : public HookedClient {
 public:
  explicit SlowFrame(std::unique_ptr<ReplicaClient> inner)
      : HookedClient(inner.get()), inner_(std::move(inner)) {}

  Status Put(const std::string& key, Bytes body) override {
    if (key.starts_with("snapshot/")) {
      std::unique_lock<std::mutex> lock(mutex_);
      sent_ = true;
      changed_.notify_all();
      changed_.wait_for(lock, std::chrono::milliseconds(kLong), [this] { return let_in_; });
    }
    return inner_->Put(key, body);
  }
  Status PutIfAbsent(const std::string& key, Bytes body) override {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (key.starts_with("log/") && !let_in_) early = true;
    return inner_->PutIfAbsent(key, body);
  }
  void AwaitSent() {
    std::unique_lock<std::mutex> lock(mutex_);
    REQUIRE(changed_.wait_for(lock, std::chrono::milliseconds(kLong), [this] { return sent_; }));
  }
  void LetIn() {
    const std::lock_guard<std::mutex> lock(mutex_);
    let_in_ = true;
    changed_.notify_all();
  }

  std::atomic<bool> early{false};

 private:
  const std::unique_ptr<ReplicaClient> inner_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool sent_ = false;
  bool let_in_ = false;
};

}  // namespace

TEST_CASE("no transaction is shipped before a frame of the first snapshot", "[first_copy]") {
  TempFolder folder;
  LogOptions quiet;
  quiet.sink = [](std::string_view) {};
  Logger logger(std::move(quiet));
  Application application(folder / "app.db");
  application.Sql("INSERT INTO t(text) VALUES ('before')");
  SlowFrame* client = nullptr;
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
  options.make_client = [&client](
                            const ReplicaSettings& settings,
                            const ClientOptions& with) -> Result<std::unique_ptr<ReplicaClient>> {
    auto inner = MakeReplicaClient(settings, with);
    if (!inner.ok()) return inner;
    auto slow = std::make_unique<SlowFrame>(std::move(*inner));
    client = slow.get();
    return std::unique_ptr<ReplicaClient>(std::move(slow));
  };
  Result<std::unique_ptr<Database>> opened = Database::Open(options, application.Host());
  REQUIRE(opened.ok());
  Database* database = opened->get();
  database->Poke();
  client->AwaitSent();
  for (int i = 0; i < 20; ++i) {
    application.Commit(database, "INSERT INTO t(text) VALUES ('meanwhile')");
    REQUIRE(database->Finish(kLong));
    CHECK_FALSE(database->Sync(20));
  }
  CHECK_FALSE(client->early);
  client->LetIn();
  REQUIRE(database->Sync(kLong));
  database->Stop();
  RestoreTo(folder / "replica", folder / "restored.db");
  CHECK(application.Same(folder / "restored.db"));
}

}  // namespace backstay
