// Memory that runs out in a call of the application, at any allocation: the call comes back, its
// host is given back once, and replication goes on or is begun by the next open.

#include <sys/prctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/failing_new.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/engine_application.h"
#include "uploader/engine/engine.h"

extern "C" const BackstayEngine* backstay_engine(uint32_t version);

namespace backstay {
namespace {

constexpr int kLong = 60000;  // ms; reached only when something never happens
constexpr const char* kInsert = "INSERT INTO t(text) VALUES(hex(randomblob(300)))";

// Only the engine's own allocations fail, not those of the test between its calls.
class Inside {
 public:
  Inside() { fail_on = kThread; }
  ~Inside() { fail_on = "no thread"; }
  const BackstayEngine* operator->() const { return backstay_engine(BACKSTAY_ENGINE_API_VERSION); }

  static constexpr const char* kThread = "application";
};

// An application behind the C interface, as the shim is.
class Client {
 public:
  // The settings are read from the environment, which may hold others.
  Client() {
    const std::string place = TempFolder::Place();
    clearenv();
    setenv("TMPDIR", place.c_str(), 1);
    setenv("BACKSTAY_MIN_INTERVAL", "0ms", 1);
  }

  bool Open() {
    char error[200] = "";
    BackstayOpen open{};
    open.path = path_.c_str();
    open.replica_url = url_.c_str();
    open.host = application_->Host();
    const bool opened = Inside()->open(&open, &db_, error, sizeof error) == 0;
    opens_ += opened ? 1 : 0;
    if (!opened) {
      db_ = nullptr;
      CHECK(std::string(error).empty());  // says that it may be asked again
    }
    return opened;
  }
  void Commit() {
    application_->Sql(kInsert);
    BackstayWalPosition position{};
    if (db_ != nullptr && application_->Position(&position)) Inside()->committed(db_, &position);
  }
  // Every call that a shim makes in WAL mode.
  void Use() {
    if (db_ == nullptr) return;
    Commit();
    Inside()->checkpoint(db_);
    (void)Inside()->finish_wal(db_, 1000, 1);
    application_->Sql("PRAGMA wal_checkpoint(TRUNCATE)");
    Inside()->wal_gone(db_);
    Commit();
    Inside()->free_text(Inside()->status(db_));
    (void)Inside()->sync(db_, 1000);
    (void)Inside()->is_sync(db_);
    Inside()->log(BACKSTAY_DEBUG, path_.c_str(), "a line");
    (void)Open();
    Commit();
  }
  bool Sync() { return Inside()->sync(db_, kLong) == 1; }
  bool Restores() {
    RestoreTo(folder_ / "replica", folder_ / "restored.db");
    return application_->Same(folder_ / "restored.db");
  }
  void Close() {
    Inside()->close(db_);
    Inside()->closed(db_);
    db_ = nullptr;
  }
  void Remove() { (void)unlink(path_.c_str()); }
  // The engine gives a host back when it is done with the database, which it follows for as long as
  // there is one.
  bool Released() {
    for (int i = 0; i < 600 && application_->released < opens_; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return application_->released == opens_;
  }

 private:
  TempFolder folder_;
  const std::string path_ = folder_ / "app.db";
  const std::string url_ = "file://" + (folder_ / "replica");
  std::unique_ptr<Application> application_ = std::make_unique<Application>(path_);
  BackstayDb* db_ = nullptr;
  int opens_ = 0;
};

// Clients that are closed. The engine looks about once a second for a database that is gone, so
// that several are waited for at once.
class ClosedClients {
 public:
  ~ClosedClients() { AreReleased(); }
  void Add(std::unique_ptr<Client> client) {
    clients_.push_back(std::move(client));
    if (clients_.size() == kAtOnce) AreReleased();
  }

 private:
  static constexpr size_t kAtOnce = 12;

  void AreReleased() {
    for (auto& client : clients_) client->Remove();
    for (auto& client : clients_) CHECK(client->Released());
    clients_.clear();
  }

  std::vector<std::unique_ptr<Client>> clients_;
};

// False: there is no n-th allocation.
bool FailAt(uint32_t n, bool from_there, ClosedClients* closed) {
  auto owned = std::make_unique<Client>();
  Client& client = *owned;
  fail_from_there = from_there;
  fail_at = n;
  (void)client.Open();
  client.Use();
  const bool failed = fail_at == (from_there ? 1 : 0);
  fail_at = 0;
  INFO("allocation " << n);
  REQUIRE(client.Open());
  client.Commit();
  REQUIRE(client.Sync());
  REQUIRE(client.Restores());
  client.Close();
  closed->Add(std::move(owned));
  return failed;
}

void FailAtEach(uint32_t growth, bool from_there = false) {
  prctl(PR_SET_NAME, Inside::kThread);
  ClosedClients closed;
  uint32_t n = 1;
  while (FailAt(n, from_there, &closed)) n += 1 + n / growth;
  CHECK(n > 100);
}

}  // namespace

TEST_CASE("memory that runs out in a call of the application", "[memory]") { FailAtEach(12); }

TEST_CASE("a process that has no memory when it exits ends its threads", "[memory]") {
  TempFolder folder;
  Application application(folder / "app.db");
  const std::string path = folder / "app.db";
  const std::string url = "file://" + (folder / "replica");
  BackstayOpen open{};
  open.path = path.c_str();
  open.replica_url = url.c_str();
  open.host = application.Host();
  SettingsSources sources;
  sources.getenv = [](const std::string&) { return std::nullopt; };
  sources.names = [] { return std::vector<std::string>(); };
  Engine engine(sources);
  Result<Database*> database = engine.Open(open);
  REQUIRE(database.ok());
  REQUIRE((*database)->Sync(kLong));
  prctl(PR_SET_NAME, Inside::kThread);
  fail_on = Inside::kThread;
  fail_from_there = true;
  fail_at = 1;
  engine.Drain();
  fail_at = 0;
  REQUIRE(application.released == 1);
}

TEST_CASE("memory that runs out in a call of the application and stays away", "[memory]") {
  FailAtEach(12, true);
}

TEST_CASE("memory that runs out in a call of the application, at each allocation",
          "[memory][long]") {
  FailAtEach(UINT32_MAX);
  FailAtEach(UINT32_MAX, true);
}

}  // namespace backstay
