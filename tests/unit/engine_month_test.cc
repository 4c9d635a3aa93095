// A month of a home server's database, with a clock that is stepped: what lies in the bucket, what
// a restore reads at any moment, and what all that costs. The engine is the real one with all its
// threads, the bucket a folder that counts requests. BACKSTAY_TEST_DAYS: how long, 3 by default.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <thread>

#include "tests/support/catch.h"
#include "tests/support/each_nth.h"
#include "tests/support/temp_folder.h"
#include "tests/unit/engine_application.h"
#include "uploader/engine/database.h"
#include "uploader/format/keys.h"

namespace backstay {
namespace {

constexpr int64_t kLong = 60000;  // ms; reached only when something never happens
constexpr int64_t kHourMs = 3600 * 1000;
constexpr size_t kListPage = 1000;
constexpr size_t kMostObjects = 60;
constexpr double kMostShare = 2.5;  // of the database's size, that a restore reads
constexpr double kMostDollars = 2;  // a month

class SteppedClock : public Clock {
 public:
  int64_t WallMs() override { return RealClock()->WallMs() + shift_ms; }
  int64_t MonotonicMs() override { return RealClock()->MonotonicMs() + shift_ms; }
  std::atomic<int64_t> shift_ms{0};
};

struct Paid {
  std::atomic<uint64_t> puts{0};
  std::atomic<uint64_t> lists{0};
  std::atomic<uint64_t> gets{0};
  std::atomic<uint64_t> deletes{0};
  // At S3's prices in us-east-1.
  double Dollars() const {
    return static_cast<double>(puts + lists) * 0.005 / 1000 +
           static_cast<double>(gets) * 0.0004 / 1000;
  }
};

// A folder that counts what a server would be paid for.
class PaidFolder : public ReplicaClient {
 public:
  PaidFolder(const std::string& root, Paid* paid)
      : inner_(FileReplicaClient::Make(root).value()), paid_(paid) {}

  std::string Describe() const override { return "s3://bucket"; }
  Status Put(const std::string& key, Bytes body) override {
    ++paid_->puts;
    return inner_->Put(key, body);
  }
  Status PutIfAbsent(const std::string& key, Bytes body) override {
    ++paid_->puts;
    return inner_->PutIfAbsent(key, body);
  }
  Result<std::string> Get(const std::string& key, const GetOptions& options) override {
    ++paid_->gets;
    return inner_->Get(key, options);
  }
  Result<std::vector<ObjectInfo>> List(const ListOptions& options) override {
    auto listed = inner_->List(options);
    paid_->lists += listed.ok() ? listed->size() / kListPage + 1 : 1;
    return listed;
  }
  Status Delete(const std::vector<std::string>& keys) override {
    ++paid_->deletes;
    return inner_->Delete(keys);
  }
  void Cancel() override { inner_->Cancel(); }
  ClientCounters Counters() const override { return inner_->Counters(); }

 private:
  const std::unique_ptr<ReplicaClient> inner_;
  Paid* const paid_;
};

class Home {
 public:
  // `budget`: PUTs that are left of the month's share; below 0: as of a new database.
  explicit Home(int64_t retention_ms = DatabaseSettings().retention_ms, double budget = -1) {
    application_.Sql(
        "BEGIN; WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 9000) "
        "INSERT INTO t(text) SELECT hex(randomblob(200)) FROM n; COMMIT;"
        "PRAGMA wal_checkpoint(TRUNCATE)");
    DatabaseOptions options;
    options.settings.path = folder_ / "app.db";
    if (budget >= 0) {
      const std::string state = options.settings.path + "-backstay";
      REQUIRE(mkdir(state.c_str(), 0700) == 0);
      const std::string text = std::to_string(budget) + " " + std::to_string(clock_.WallMs());
      REQUIRE(WriteFileAtomic(state + "/budget", text, false).ok());
    }
    options.settings.retention_ms = retention_ms;
    ReplicaSettings replica;
    replica.type = "file";
    replica.path = folder_ / "replica";
    options.settings.replicas.push_back(replica);
    options.clock = &clock_;
    options.logger = &logger_;
    options.random = [this] {
      std::lock_guard<std::mutex> lock(engine_mutex_);
      return engine_random_();
    };
    options.quiet = [] {};
    options.make_client = [this](const ReplicaSettings& settings, ClientOptions) {
      return Result<std::unique_ptr<ReplicaClient>>(
          std::make_unique<PaidFolder>(settings.path, &paid));
    };
    auto opened = Database::Open(options, application_.Host());
    REQUIRE(opened.ok());
    database_ = std::move(*opened);
    REQUIRE(database_->Sync(kLong));
  }
  ~Home() { database_->Stop(); }

  // A person does something: some tens of transactions, each an upload of its own.
  void Burst() {
    const unsigned transactions = 15 + random_() % 45;
    for (unsigned i = 0; i < transactions; ++i) {
      const std::string id = std::to_string(1 + random_() % 9000);
      application_.Commit(database_.get(),
                          "UPDATE t SET text = hex(randomblob(200)) WHERE id IN (" + id + ", " +
                              id + " + 1, " + id + " + 700)");
      clock_.shift_ms += 250;
      REQUIRE(database_->Sync(kLong));
      if (i % 5 == 0) LookAtRestore();
    }
    commits += transactions;
    application_.RestartWal(database_.get());
  }
  // Once a day much changes at a time.
  void Import() {
    application_.Commit(database_.get(),
                        "UPDATE t SET text = hex(randomblob(200)) WHERE id % 3 <> 0");
    REQUIRE(database_->Sync(kLong));
    LookAtRestore();
    ++commits;
  }
  void Pass(int64_t ms) { clock_.shift_ms += ms; }

  void LookAtRestore() {
    RetryOptions once;
    once.attempts = 1;
    auto client = FileReplicaClient::Make(folder_ / "replica").value();
    const ReplicaReader reader(client.get(), once);
    Result<RestorePlan> plan = PlanFromReplica(reader, {}, {});
    if (!plan.ok() && plan.status().retryable()) return;  // it is packed just now
    INFO(plan.status().ToString());
    REQUIRE(plan.ok());
    std::set<std::string> keys;
    for (const LogEntry& entry : plan->entries) keys.insert(entry.sources.front().key);
    const size_t objects = keys.size() + plan->snapshot.frame_bytes.size() + 2;
    const double bytes = static_cast<double>(plan->SnapshotBytes() + plan->LogBytes());
    struct stat file {};
    REQUIRE(stat((folder_ / "app.db").c_str(), &file) == 0);
    most_objects = std::max(most_objects, objects);
    most_share = std::max(most_share, bytes / static_cast<double>(file.st_size));
  }
  void Print(int day) {
    auto client = FileReplicaClient::Make(folder_ / "replica").value();
    const auto all = client->List({});
    REQUIRE(all.ok());
    double bytes = 0;
    for (const ObjectInfo& info : *all) bytes += static_cast<double>(info.size);
    std::printf(
        "%4d %8llu %8zu %8.1f %8llu %6llu %8llu %7llu %8.4f %9zu %6.2f\n", day,
        static_cast<unsigned long long>(commits), all->size(), bytes / 1e6,
        static_cast<unsigned long long>(paid.puts), static_cast<unsigned long long>(paid.lists),
        static_cast<unsigned long long>(paid.gets), static_cast<unsigned long long>(paid.deletes),
        paid.Dollars(), most_objects, most_share);
  }
  // On another thread than the rest.
  Status Restore() {
    auto client = FileReplicaClient::Make(folder_ / "replica").value();
    const ReplicaReader reader(client.get());
    const std::string path = folder_ / "beside.db";
    Result<Fd> fd = OpenFile(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    if (!fd.ok()) return fd.status();
    FilePageStore store(*fd, path);
    return RestoreInto(reader, {}, &store).status();
  }
  void CheckRestore() {
    REQUIRE(database_->Sync(kLong));
    RestoreTo(folder_ / "replica", folder_ / "restored.db");
    REQUIRE(application_.Same(folder_ / "restored.db"));
  }

  Paid paid;
  uint64_t commits = 0;
  std::atomic<int> pruned{0};  // how often retention deleted something
  size_t most_objects = 0;
  double most_share = 0;

 protected:
  LogOptions Quiet() {
    LogOptions options;
    options.clock = &clock_;
    options.sink = [this](std::string_view line) {
      if (line.find("retention: deleted") != std::string_view::npos) ++pruned;
      const bool problem = line.find("\"ERROR\"") != std::string_view::npos ||
                           line.find("\"WARN\"") != std::string_view::npos;
      if (problem) std::fwrite(line.data(), 1, line.size(), stderr);
    };
    return options;
  }

  TempFolder folder_;
  SteppedClock clock_;
  Logger logger_{Quiet()};
  std::mt19937 random_{7};
  // The engine draws on threads of its own.
  std::mutex engine_mutex_;
  std::mt19937_64 engine_random_{11};
  Application application_{folder_ / "app.db"};
  std::unique_ptr<Database> database_;
};

// Nothing asks for an upload: they come when the engine wants them to. What this machine needs for
// one counts, and the round trip to a server is added.
class PacedHome : public Home {
 public:
  explicit PacedHome(double budget = -1) : Home(DatabaseSettings().retention_ms, budget) {
    acknowledged_ = Replica()["replicated_txid"];
    committed_ = acknowledged_;
  }

  void Commit() {
    const std::string id = std::to_string(1 + random_() % 9000);
    application_.Commit(database_.get(),
                        "UPDATE t SET text = hex(randomblob(200)) WHERE id = " + id);
    waiting_.push_back(clock_.MonotonicMs());
    ++committed_;
    if (++commits % 500 == 0) application_.RestartWal(database_.get());
  }
  void PassAwake(int64_t ms) {
    for (int64_t step = 0; ms > 0; ms -= step) {
      if (!waiting_.empty() && clock_.MonotonicMs() >= put_at_ms_ + interval_ms_) AwaitUpload();
      clock_.shift_ms += step = std::min<int64_t>(ms, 10);
    }
  }
  void PrintPace(const char* what, double days) {
    std::printf("%-28s %9llu %9llu %8.2f %9.0f %8.0f %8lld\n", what,
                static_cast<unsigned long long>(commits),
                static_cast<unsigned long long>(paid.puts + paid.lists),
                paid.Dollars() * 365.25 / 12 / days, sum_ms_ / lags_, most_ms_,
                static_cast<long long>(interval_ms_));
    std::fflush(stdout);
  }
  // What follows is counted apart.
  void BeginAnew() {
    commits = 0;
    paid.puts = paid.lists = paid.gets = 0;
    sum_ms_ = lags_ = most_ms_ = 0;
  }

 private:
  static constexpr int64_t kRoundTripMs = 50;

  nlohmann::json Replica() { return nlohmann::json::parse(database_->StatusJson())["replicas"][0]; }
  void AwaitUpload() {
    const int64_t began = clock_.MonotonicMs();
    nlohmann::json replica;
    do {
      database_->Poke();
      std::this_thread::sleep_for(std::chrono::microseconds(500));
      REQUIRE(clock_.MonotonicMs() - began < kLong);
      replica = Replica();
    } while (replica["replicated_txid"].get<uint64_t>() == acknowledged_);
    put_at_ms_ = clock_.MonotonicMs();
    interval_ms_ = replica["upload_interval_ms"];
    clock_.shift_ms += kRoundTripMs;
    for (; acknowledged_ < replica["replicated_txid"].get<uint64_t>(); ++acknowledged_) {
      REQUIRE(!waiting_.empty());
      const auto lag = static_cast<double>(clock_.MonotonicMs() - waiting_.front());
      waiting_.pop_front();
      sum_ms_ += lag;
      most_ms_ = std::max(most_ms_, lag);
      ++lags_;
    }
  }

  std::deque<int64_t> waiting_;  // when they were committed
  uint64_t committed_ = 0;
  uint64_t acknowledged_ = 0;
  int64_t put_at_ms_ = 0;
  int64_t interval_ms_ = 0;
  double sum_ms_ = 0;
  double lags_ = 0;
  double most_ms_ = 0;
};

void PrintPaceHead() {
  std::printf("%-28s %9s %9s %8s %9s %8s %8s\n", "", "commits", "PUT+LIST", "$/month", "mean lag",
              "longest", "interval");
}

}  // namespace

// Figures, run by tests/bench/run.sh. Lags in ms, with a round trip of 50.
TEST_CASE("bursts of a home server: cost and lag", "[.pace]") {
  PacedHome home;
  std::minstd_rand random(3);
  const char* text = std::getenv("BACKSTAY_TEST_DAYS");
  const int days = text != nullptr ? std::max(1, std::atoi(text)) : 3;
  PrintPaceHead();
  for (int day = 1; day <= days; ++day) {
    for (int burst = 0; burst < 6; ++burst) {
      for (int i = 0; i < 30; ++i) {
        home.Commit();
        home.PassAwake(50 + static_cast<int64_t>(random() % 900));
      }
      home.PassAwake(5000);
      home.Pass(4 * kHourMs - 20000);
    }
  }
  home.PrintPace("6 bursts of 30 a day", days);
}

TEST_CASE("ten transactions a second around the clock: cost and lag", "[.pace]") {
  PacedHome home(800);  // busy for hours already, so that the interval has grown
  const char* text = std::getenv("BACKSTAY_TEST_HOURS");
  const int hours = text != nullptr ? std::max(1, std::atoi(text)) : 2;
  PrintPaceHead();
  for (int hour = 1; hour <= hours; ++hour) {
    home.BeginAnew();
    for (int i = 0; i < 36000; ++i) {
      home.Commit();
      home.PassAwake(100);
    }
    home.PrintPace(("10 a second, hour " + std::to_string(hour)).c_str(), 1.0 / 24);
  }
}

TEST_CASE("packs, snapshots and retention break no restore beside them", "[month]") {
  Home home(kHourMs);
  std::atomic<bool> over{false};
  std::atomic<int> restores{0};
  Status failed;
  std::thread beside([&] {
    for (; !over && failed.ok(); ++restores) failed = home.Restore();
  });
  for (int i = 0; i < 10; ++i) {
    for (int imports = 0; imports < 3; ++imports) home.Import();
    home.Burst();
    home.Pass(2 * kHourMs);
  }
  over = true;
  beside.join();
  INFO(failed.ToString());
  CHECK(failed.ok());
  CHECK(restores > 3);
  CHECK(home.pruned > 1);
  home.CheckRestore();
}

TEST_CASE("a home server's month is cheap, and its restore small at every moment", "[month]") {
  const char* text = std::getenv("BACKSTAY_TEST_DAYS");
  const int days = text != nullptr ? std::max(1, std::atoi(text)) : EachNth() > 1 ? 1 : 3;
  Home home;
  std::printf(
      " day  commits  objects       MB     PUTs  LISTs     GETs DELETEs  dollars "
      "most read  share\n");
  for (int day = 1; day <= days; ++day) {
    for (const int64_t pause : {5, 6, 4, 9}) {
      home.Burst();
      home.Pass(pause * kHourMs);
    }
    home.Import();
    home.Print(day);
  }
  home.CheckRestore();
  CHECK(home.most_objects <= kMostObjects);
  CHECK(home.most_share <= kMostShare);
  CHECK(home.paid.Dollars() * 30 / days <= kMostDollars);
}

}  // namespace backstay
