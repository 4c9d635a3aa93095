// A state folder that is removed while it is in use: the next process to come takes its place, and
// the one that shipped lets go of the database before it does any harm there.

#include <sys/xattr.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/engine_application.h"
#include "tests/unit/replica_support.h"
#include "uploader/engine/database.h"
#include "uploader/format/log_object.h"

namespace backstay {
namespace {

constexpr int64_t kLong = 60000;  // ms; reached only when something never happens
constexpr uint32_t kPages = 1500;
constexpr char kRows[] =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500) "
    "INSERT OR REPLACE INTO t SELECT i, randomblob(3500) FROM n";

// Nothing becomes due once it stands still.
class StandingClock : public Clock {
 public:
  int64_t WallMs() override { return RealClock()->WallMs(); }
  int64_t MonotonicMs() override {
    return stands_ms != 0 ? +stands_ms : RealClock()->MonotonicMs();
  }
  std::atomic<int64_t> stands_ms{0};
};

class OvertakenFolder : public HookedClient {
 public:
  OvertakenFolder(std::unique_ptr<ReplicaClient> inner, std::function<void()> meanwhile)
      : HookedClient(inner.get()), inner_(std::move(inner)), meanwhile_(std::move(meanwhile)) {}

  // Before an upload arrives, another one does, of a process with the same place in the log.
  Status PutIfAbsent(const std::string& key, Bytes body) override {
    size_t used = 0;
    Result<LogHeader> header = ParseLogHeader(body, &used);
    if (overtaken && header.ok() && overtaken.exchange(false)) {
      meanwhile_();
      const std::string other = EncodeTakeover(header->epoch, header->number, {});
      REQUIRE(inner_->PutIfAbsent(key, AsBytes(other)).ok());
    }
    return inner_->PutIfAbsent(key, body);
  }

  // While the snapshot is read back something else happens.
  Result<std::string> Get(const std::string& key, const GetOptions& options = {}) override {
    const bool frame = key.starts_with("snapshot/") && !key.ends_with("manifest");
    if (frame && read_back && !std::exchange(was_read_, true)) read_back();
    return inner_->Get(key, options);
  }

  std::atomic<bool> overtaken{false};
  std::function<void()> read_back;  // set before it is used

 private:
  bool was_read_ = false;
  const std::unique_ptr<ReplicaClient> inner_;
  const std::function<void()> meanwhile_;
};

struct World {
  LogOptions Log() {
    LogOptions options;
    options.sink = [this](std::string_view line) {
      if (line.find("ERROR") != std::string_view::npos) ++errors;
      if (line.find("the page size of the database changed") != std::string_view::npos) ++resized;
    };
    return options;
  }
  std::unique_ptr<Database> Open(const BackstayHost& host) {
    DatabaseOptions options;
    options.settings.path = folder / "app.db";
    options.settings.min_interval_ms = 0;
    ReplicaSettings replica;
    replica.type = "file";
    replica.path = folder / "replica";
    options.settings.replicas.push_back(replica);
    options.clock = &clock;
    options.logger = &logger;
    options.random = [] { return static_cast<uint64_t>(rand()); };
    options.quiet = [] {};
    options.make_client =
        [this](const ReplicaSettings& settings,
               const ClientOptions& client) -> Result<std::unique_ptr<ReplicaClient>> {
      auto inner = MakeReplicaClient(settings, client);
      if (!inner.ok()) return inner;
      auto hooked = std::make_unique<OvertakenFolder>(std::move(*inner), [this] {
        clock.stands_ms = clock.MonotonicMs();
        Remove();
      });
      hooked->read_back = read_back;
      bucket = hooked.get();
      return std::unique_ptr<ReplicaClient>(std::move(hooked));
    };
    Result<std::unique_ptr<Database>> opened = Database::Open(options, host);
    REQUIRE(opened.ok());
    return std::move(*opened);
  }
  void Remove() { std::filesystem::rename(state, state + ".removed"); }
  // It can be told by its mark.
  bool Heals() const { return setxattr(state.c_str(), "user.test", "", 0, 0) == 0; }
  void AwaitLetGo(Database* database) {
    for (int64_t waited = 0; database->holds() && waited < kLong; ++waited) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    CHECK_FALSE(database->holds());
    CHECK(errors == 0);
  }

  TempFolder folder;
  const std::string state = folder / "app.db-backstay";
  StandingClock clock;
  std::atomic<int> errors{0};
  std::atomic<int> resized{0};
  std::function<void()> read_back;  // of the next one that is opened
  Logger logger{Log()};
  OvertakenFolder* bucket = nullptr;
};

// Its state folder is removed when the engine reads that page.
class RemovingApplication : public Application {
 public:
  explicit RemovingApplication(World* world)
      : Application(world->folder / "app.db"), world_(world) {}

  BackstayHost Host() {
    BackstayHost host = Application::Host();
    read_ = host.read;
    host.read = Read;
    return host;
  }

  std::atomic<int64_t> removes_at{INT64_MAX};  // page
  std::atomic<int64_t> last{0};                // page read

 private:
  static int64_t Read(void* ctx, void* buf, int64_t n, int64_t at) {
    auto* self = static_cast<RemovingApplication*>(static_cast<Application*>(ctx));
    self->last = at / 4096;
    if (self->last >= self->removes_at && self->removes_at.exchange(INT64_MAX) != INT64_MAX) {
      self->world_->Remove();
    }
    return self->read_(ctx, buf, n, at);
  }

  World* const world_;
  int64_t (*read_)(void*, void*, int64_t, int64_t) = nullptr;
};

}  // namespace

TEST_CASE("a state folder removed while all pages are compared ends that", "[removed]") {
  World world;
  RemovingApplication application(&world);
  std::unique_ptr<Database> database = world.Open(application.Host());
  application.Commit(database.get(), kRows);
  REQUIRE(database->Sync(kLong));
  if (!world.Heals()) return;
  database->Stop();
  database.reset();
  // Unseen: all is compared.
  application.Sql(kRows);
  application.Sql("PRAGMA wal_checkpoint(TRUNCATE)");
  application.removes_at = kPages / 4;
  database = world.Open(application.Host());
  world.AwaitLetGo(database.get());
  database->Stop();
  CHECK(application.last < kPages / 2);
}

TEST_CASE("who has made a removed state folder anew keeps it", "[removed]") {
  World world;
  Application application(world.folder / "app.db");
  std::unique_ptr<Database> database = world.Open(application.Host());
  application.Commit(database.get(), kRows);
  REQUIRE(database->Sync(kLong));
  if (!world.Heals()) return;
  world.Remove();
  Result<FolderLock> lock = FolderLock::Take(world.state, database->path(), nullptr);
  REQUIRE(lock.ok());
  world.AwaitLetGo(database.get());
  database->Stop();
  for (const char* name : {"index", "outbox", "shared", "status.json"}) {
    INFO(name);
    CHECK_FALSE(std::filesystem::exists(world.state + "/" + name));
  }
}

TEST_CASE("who takes the log over with a state folder made anew is no other writer", "[removed]") {
  World world;
  Application application(world.folder / "app.db");
  std::unique_ptr<Database> database = world.Open(application.Host());
  application.Commit(database.get(), kRows);
  REQUIRE(database->Sync(kLong));
  if (!world.Heals()) return;
  world.bucket->overtaken = true;
  application.Commit(database.get(), "INSERT INTO t(text) VALUES ('more')");
  world.AwaitLetGo(database.get());
  CHECK_FALSE(world.bucket->overtaken);
  database->Stop();
}

TEST_CASE("a page size that changes while the replica is read back begins a new base",
          "[removed]") {
  World world;
  Application application(world.folder / "app.db");
  std::unique_ptr<Database> database = world.Open(application.Host());
  application.Commit(database.get(), kRows);
  REQUIRE(database->Sync(kLong));
  application.Commit(database.get(), "UPDATE t SET text = 'in the log' WHERE id = 3");
  REQUIRE(database->Sync(kLong));
  if (!world.Heals()) return;
  database->Stop();
  database.reset();
  world.Remove();
  std::atomic<Database*> opened{nullptr};
  static std::atomic<bool> in_wal{true};
  BackstayHost host = application.Host();
  static const auto position = host.wal_position;
  host.wal_position = [](void* ctx, BackstayWalPosition* at) {
    return in_wal ? position(ctx, at) : 0;
  };
  world.read_back = [&] {
    application.Sql("PRAGMA journal_mode=delete; PRAGMA page_size=1024; VACUUM");
    in_wal = false;
    for (int64_t waited = 0; world.resized == 0 && waited < kLong; ++waited) {
      if (Database* there = opened) there->Poke();
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  };
  database = world.Open(host);
  opened = database.get();
  REQUIRE(database->Sync(kLong));
  CHECK(world.resized == 1);
  database->Stop();
  RestoreTo(world.folder / "replica", world.folder / "restored.db");
  CHECK(application.Same(world.folder / "restored.db"));
}

}  // namespace backstay
