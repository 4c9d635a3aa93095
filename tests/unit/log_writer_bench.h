// The log writer without threads, against a folder whose answers the test shapes.
//
// Used by the engine's unit tests, one thread. A failure fails the test that uses it.

#ifndef BACKSTAY_TESTS_UNIT_LOG_WRITER_BENCH_H_
#define BACKSTAY_TESTS_UNIT_LOG_WRITER_BENCH_H_

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/base/hash.h"
#include "uploader/engine/log_writer.h"
#include "uploader/format/keys.h"
#include "uploader/format/snapshot.h"
#include "uploader/storage/file_client.h"

namespace backstay {

inline constexpr uint32_t kPageSize = 512;

// Stands still unless it is told.
class TestClock : public Clock {
 public:
  int64_t WallMs() override { return RealClock()->WallMs(); }
  int64_t MonotonicMs() override { return now_ms; }
  int64_t now_ms = 1000000;
};

// A folder; calls `after` when a new object has arrived, whose status is the answer. `store`: what
// it says to a condition.
class LyingClient : public ReplicaClient {
 public:
  explicit LyingClient(const std::string& root) : inner_(FileReplicaClient::Make(root).value()) {}

  std::string Describe() const override { return inner_->Describe(); }
  std::string Place() const override { return place; }
  Status Put(const std::string& key, Bytes body) override {
    ++puts;
    return inner_->Put(key, body);
  }
  Status PutIfAbsent(const std::string& key, Bytes body) override {
    ++conditions;
    if (store == kAnswers501) return {Code::kUnsupported, "status 501"};
    Status put = store == kIgnores ? inner_->Put(key, body) : inner_->PutIfAbsent(key, body);
    return put.ok() && after ? after() : put;
  }
  Result<std::string> Get(const std::string& key, const GetOptions& options = {}) override {
    ++gets;
    return inner_->Get(key, options);
  }
  Result<std::vector<ObjectInfo>> List(const ListOptions& options) override {
    ++lists;
    if (listed) listed();
    if (!hidden.empty() && options.prefix.rfind(hidden, 0) == 0) return std::vector<ObjectInfo>();
    return inner_->List(options);
  }
  Status Delete(const std::vector<std::string>& keys) override {
    ++deletes;
    return inner_->Delete(keys);
  }
  void Cancel() override { inner_->Cancel(); }
  ClientCounters Counters() const override { return inner_->Counters(); }

  std::function<Status()> after;
  std::function<void()> listed;  // before each list
  enum { kRefuses, kIgnores, kAnswers501 } store = kRefuses;
  std::string place = "a server";
  std::string hidden;  // lists show nothing below it
  int conditions = 0;  // PutIfAbsent()
  std::atomic<int> puts{0}, gets{0}, lists{0}, deletes{0};

 private:
  const std::unique_ptr<ReplicaClient> inner_;
};

// A pipeline's core without threads: one database that the test writes to.
class Bench {
 public:
  Bench()
      : client(folder / "replica"),
        logger(Quiet()),
        core(Options(&client, &host, &logger, &clock, folder.path())) {
    core.index = std::make_unique<PageIndex>(LockBytePage(kPageSize));
    core.outbox = std::make_unique<Outbox>(folder / "outbox");
    REQUIRE(core.outbox->Open({[](auto&) {}, [](auto&) {}, [](auto&) {}}).ok());
    Capture::Options capture;
    capture.database_path = folder / "db";
    capture.page_size = kPageSize;
    capture.index = core.index.get();
    capture.outbox = core.outbox.get();
    capture.clock = RealClock();
    capture.file = [](void*, int64_t, int64_t) { return -1; };
    capture.file_size = [] { return 0; };
    core.capture = std::make_unique<Capture>(std::move(capture));
    core.life.On(Life::Opened{});
    core.identity.page_size = kPageSize;
    REQUIRE(log.Connect().ok());
    PutSnapshot(1);
    core.ship.restorable = true;
    core.ship.snapshot_number = 1;
  }

  // Encodes one transaction that writes `pgno`; `pages`: of the database after it, 0: as many as
  // need be. `more`: only the beginning of it.
  void Commit(uint32_t pgno, uint32_t pages = 0, bool more = false) {
    std::vector<uint8_t> image(kPageSize, static_cast<uint8_t>(++writes_));
    EncoderStep step;
    step.pages = pages != 0 ? pages : std::max(core.index->pages(), pgno);
    step.time_ms = 1000 + writes_;
    step.transactions = more ? 0 : 1;
    step.images = {{pgno, image.data()}};
    REQUIRE(core.capture->encoder()->Encode({step}, false, {}).ok());
  }
  // One transaction that writes `pages` pages which cannot be compressed.
  void CommitRandom(uint32_t pages) {
    std::vector<std::vector<uint8_t>> images(pages, std::vector<uint8_t>(kPageSize));
    EncoderStep step;
    step.pages = std::max(core.index->pages(), pages);
    step.time_ms = 1000 + ++writes_;
    step.transactions = 1;
    for (uint32_t i = 0; i < pages; ++i) {
      for (uint8_t& byte : images[i]) byte = static_cast<uint8_t>(random_());
      step.images.push_back({i + 1, images[i].data()});
    }
    REQUIRE(core.capture->encoder()->Encode({step}, false, {}).ok());
  }
  // Of one frame, whose content is not looked at.
  void PutSnapshot(uint64_t number) {
    SnapshotManifest manifest;
    manifest.page_size = kPageSize;
    manifest.next_log_number = number;
    manifest.pages = 1;
    manifest.frame_bytes = {5};
    REQUIRE(client.Put(SnapshotFrameKey(number, 0, 0), AsBytes(std::string_view("frame"))).ok());
    REQUIRE(
        client.Put(SnapshotManifestKey(number), AsBytes(*EncodeSnapshotManifest(manifest))).ok());
  }
  void Collapse() {
    std::lock_guard<std::mutex> lock(core.mutex);
    core.CollapseLocked(core.ship.shipped);
  }

  // Every segment of the log follows the one before it.
  void CheckLog() {
    uint64_t number = 0;
    uint64_t hash = 0;
    for (uint64_t object = 1; object < core.ship.next_log_number; ++object) {
      Result<std::string> bytes = client.Get(LogKey(object));
      REQUIRE(bytes.ok());
      Result<LogObject> parsed = ParseLogObject(AsBytes(*bytes), object);
      REQUIRE(parsed.ok());
      for (const Segment& segment : parsed->segments) {
        REQUIRE(segment.header().number == ++number);
        REQUIRE(segment.header().previous_hash == hash);
        hash = segment.hash();
      }
    }
    REQUIRE(number == core.ship.shipped.segment_number);
    REQUIRE(hash == core.ship.shipped.segment_hash);
  }

  TempFolder folder;
  TestClock clock;
  std::string logged;
  LyingClient client;
  Host host;
  Logger logger;
  Core core;
  LogWriter log{&core};

 private:
  LogOptions Quiet() {
    LogOptions options;
    options.sink = [this](std::string_view line) { logged += line; };
    return options;
  }
  static CoreOptions Options(ReplicaClient* client, Host* host, Logger* logger, Clock* clock,
                             const std::string& folder) {
    static std::mutex origin;
    CoreOptions options;
    options.origin = &origin;
    options.replica = client->Describe();
    options.folder = folder;
    options.client = client;
    options.host = host;
    options.clock = clock;
    options.logger = logger;
    options.random = [n = uint64_t{1}]() mutable { return n++; };
    return options;
  }

  int writes_ = 0;
  std::mt19937 random_{1};
};

}  // namespace backstay

#endif  // BACKSTAY_TESTS_UNIT_LOG_WRITER_BENCH_H_
