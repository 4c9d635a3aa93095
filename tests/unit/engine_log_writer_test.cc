// The log writer against a folder whose answers lie, while the outbox collapses under it.

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/base/hash.h"
#include "uploader/engine/log_writer.h"
#include "uploader/format/pack.h"
#include "uploader/storage/file_client.h"

namespace backstay {
namespace {

constexpr uint32_t kPageSize = 512;

// A folder; calls `after` when a new object has arrived, whose status is the answer.
class LyingClient : public ReplicaClient {
 public:
  explicit LyingClient(const std::string& root) : inner_(FileReplicaClient::Make(root).value()) {}

  std::string Describe() const override { return inner_->Describe(); }
  Status Put(const std::string& key, Bytes body) override { return inner_->Put(key, body); }
  Status PutIfAbsent(const std::string& key, Bytes body) override {
    Status put = inner_->PutIfAbsent(key, body);
    return put.ok() && after ? after() : put;
  }
  Result<std::string> Get(const std::string& key, const GetOptions& options = {}) override {
    return inner_->Get(key, options);
  }
  Result<std::vector<ObjectInfo>> List(const ListOptions& options) override {
    return inner_->List(options);
  }
  Status Delete(const std::vector<std::string>& keys) override { return inner_->Delete(keys); }
  void Cancel() override { inner_->Cancel(); }
  ClientCounters Counters() const override { return inner_->Counters(); }

  std::function<Status()> after;

 private:
  const std::unique_ptr<ReplicaClient> inner_;
};

// A pipeline's core without threads: one database that the test writes to.
class Bench {
 public:
  Bench()
      : client(folder / "replica"),
        logger(Quiet()),
        core(Options(&client, &host, &logger, folder.path())) {
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
    core.identity.page_size = kPageSize;
    REQUIRE(log.Connect().ok());
    core.ship.restorable = true;
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
  LyingClient client;
  Host host;
  Logger logger;
  Core core;
  LogWriter log{&core};

 private:
  static LogOptions Quiet() {
    LogOptions options;
    options.sink = [](std::string_view) {};
    return options;
  }
  static CoreOptions Options(ReplicaClient* client, Host* host, Logger* logger,
                             const std::string& folder) {
    CoreOptions options;
    options.replica = client->Describe();
    options.folder = folder;
    options.client = client;
    options.host = host;
    options.clock = RealClock();
    options.logger = logger;
    options.random = [n = uint64_t{1}]() mutable { return n++; };
    return options;
  }

  int writes_ = 0;
};

}  // namespace

TEST_CASE("segments are shipped in order", "[log_writer]") {
  Bench bench;
  for (uint32_t pgno : {1, 2, 1, 3}) bench.Commit(pgno);
  REQUIRE(bench.log.Append().ok());
  bench.Commit(2);
  REQUIRE(bench.log.Append().ok());
  REQUIRE(bench.core.ship.shipped.segment_number == 5);
  REQUIRE(bench.core.outbox->pending().empty());
  bench.CheckLog();
}

TEST_CASE("a PUT that arrived although it failed is settled", "[log_writer]") {
  Bench bench;
  bench.Commit(1);
  bench.client.after = [] { return Status(Code::kUnavailable, "no answer", true); };
  REQUIRE(bench.log.Append().code() == Code::kUnavailable);
  bench.client.after = nullptr;
  bench.Commit(2);
  REQUIRE(bench.log.Append().ok());
  REQUIRE(bench.core.ship.shipped.segment_number == 1);
  REQUIRE(bench.log.Append().ok());
  REQUIRE(bench.core.ship.shipped.segment_number == 2);
  bench.CheckLog();
}

// The database may grow by pages that nobody wrote. What the replica has there is older, when it
// did not hear of the database's shorter end in between.
TEST_CASE("an outbox that collapses leaves no page known that the replica lacks", "[log_writer]") {
  Bench bench;
  for (uint32_t pgno = 1; pgno <= 10; ++pgno) bench.Commit(pgno);
  REQUIRE(bench.log.Append().ok());
  bench.Commit(1, /*pages=*/5);
  bench.Commit(8, /*pages=*/9);
  bench.Collapse();
  for (uint32_t pgno : {1, 6, 7, 8, 9}) {
    INFO("page " << pgno);
    REQUIRE(bench.core.index->Get(pgno) == 0);
  }
  REQUIRE(bench.core.index->unknown() == 5);
}

TEST_CASE("a segment that cannot be encoded leaves no page known that the replica lacks",
          "[log_writer]") {
  Bench bench;
  for (uint32_t pgno = 1; pgno <= 10; ++pgno) bench.Commit(pgno);
  const std::vector<uint8_t> image(kPageSize, 0x77);
  EncoderStep shorter;
  shorter.pages = 5;
  EncoderStep longer;
  longer.pages = 9;
  longer.images = {{8, image.data()}, {8, image.data()}};  // not in order
  REQUIRE_FALSE(bench.core.capture->encoder()->Encode({shorter, longer}, false, {}).ok());
  REQUIRE(bench.core.index->unknown() == 4);
}

TEST_CASE("the outbox collapses while a PUT is under way", "[log_writer]") {
  Bench bench;
  bench.Commit(1);
  REQUIRE(bench.log.Append().ok());
  bench.Commit(2);
  bench.client.after = [&] {
    bench.Collapse();
    bench.Commit(3);  // as a repair would
    return Status::Ok();
  };
  REQUIRE(bench.log.Append().ok());
  bench.client.after = nullptr;
  // What the log has is where the next segment goes on; the pages are to be repaired.
  REQUIRE(bench.core.ship.shipped.segment_number == 2);
  REQUIRE(bench.core.outbox->pending().empty());
  REQUIRE(bench.core.repair != RepairNeed::kNone);
  REQUIRE(bench.core.index->Get(2) == 0);
  REQUIRE(bench.core.index->Get(3) == 0);
  bench.Commit(2);
  REQUIRE(bench.log.Append().ok());
  bench.CheckLog();
}

TEST_CASE("the outbox collapses after a PUT that arrived although it failed", "[log_writer]") {
  Bench bench;
  bench.Commit(1);
  REQUIRE(bench.log.Append().ok());  // from here on an unknown object would be another writer's
  bench.Commit(2);
  bench.client.after = [] { return Status(Code::kUnavailable, "no answer", true); };
  REQUIRE_FALSE(bench.log.Append().ok());
  bench.client.after = nullptr;
  bench.Collapse();
  bench.Commit(3);
  REQUIRE(bench.log.Append().ok());
  REQUIRE(bench.core.ship.shipped.segment_number == 2);
  REQUIRE(bench.core.repair != RepairNeed::kNone);
  bench.Commit(3);
  REQUIRE(bench.log.Append().ok());
  bench.CheckLog();
}

TEST_CASE("a state that ends inside a log object goes on behind it", "[log_writer]") {
  Bench bench;
  bench.Commit(1);
  REQUIRE(bench.log.Append().ok());
  bench.Commit(2);
  const LogHead restored = bench.core.capture->encoder()->head();
  bench.Commit(3);
  REQUIRE(bench.log.Append().ok());
  REQUIRE(bench.core.ship.next_log_number == 3);
  // As a restore leaves it that stopped before the last segment of object 2.
  bench.core.ship.shipped = restored;
  bench.core.ship.next_log_number = 2;
  bench.core.ship.writer_id = 0;
  bench.core.capture->encoder()->set_head(restored);
  LogWriter heir(&bench.core);
  REQUIRE(heir.Connect().ToString() == "OK");
  REQUIRE(bench.core.ship.epoch == 2);
  REQUIRE(bench.core.ship.shipped.segment_number == 3);
  REQUIRE(bench.core.index->Get(2) != 0);
  REQUIRE(bench.core.index->Get(3) == 0);
  bench.CheckLog();
}

// Two lives ended in the middle of a transaction, and the disk was lost each time.
TEST_CASE("a state that ends before what takeovers continue goes on behind them", "[log_writer]") {
  Bench bench;
  bench.Commit(1);
  REQUIRE(bench.log.Append().ok());
  const ShipState restored = bench.core.ship;
  bench.Commit(2, 0, /*more=*/true);
  REQUIRE(bench.log.Append().ok());
  for (uint64_t life = 2; life <= 3; ++life) {
    bench.core.ship.writer_id = 0;
    LogWriter heir(&bench.core);
    REQUIRE(heir.Connect().ToString() == "OK");
    REQUIRE(bench.core.ship.epoch == life);
    bench.Commit(3, 0, /*more=*/true);
    REQUIRE(heir.Append().ok());
  }
  if (GENERATE(false, true)) {
    PackWriter pack(bench.core.identity.id);
    for (uint64_t number = 1; number <= 6; ++number) {
      REQUIRE(pack.Add(AsBytes(*bench.client.Get(LogKey(number))), number).ok());
      const bool takeover = number == 3 || number == 5;
      if (!takeover) REQUIRE(bench.client.Delete({LogKey(number)}).ok());
    }
    REQUIRE(bench.client.Put(PackKey(1, 6), AsBytes(pack.Finish())).ok());
  }
  bench.core.ship = restored;
  bench.core.ship.epoch = 3;
  bench.core.ship.writer_id = 0;
  bench.core.capture->encoder()->set_head(restored.shipped);
  LogWriter heir(&bench.core);
  REQUIRE(heir.Connect().ToString() == "OK");
  REQUIRE(bench.core.ship.epoch == 4);
  REQUIRE(bench.core.ship.void_below == 4);
  REQUIRE(bench.core.ship.next_log_number == 8);
  REQUIRE(bench.core.ship.shipped.segment_number == 4);
}

// Packs have freed the number that an old state would use next. An even older one was there in
// between and has left its takeover, which is as void as ours would be.
TEST_CASE("what lies at a packed number misleads nobody", "[log_writer]") {
  Bench bench;
  bench.Commit(1);
  REQUIRE(bench.log.Append().ok());
  const ShipState old = bench.core.ship;
  PackWriter pack(bench.core.identity.id);
  for (uint64_t number = 2; number <= 4; ++number) {
    bench.Commit(static_cast<uint32_t>(number));
    REQUIRE(bench.log.Append().ok());
    REQUIRE(pack.Add(AsBytes(*bench.client.Get(LogKey(number))), number).ok());
    REQUIRE(bench.client.Delete({LogKey(number)}).ok());
  }
  REQUIRE(bench.client.Put(PackKey(2, 4), AsBytes(pack.Finish())).ok());
  const Takeover record{
      bench.core.identity.id, 99, 1, old.shipped.segment_number, old.shipped.segment_hash,
      old.shipped.txid};
  REQUIRE(bench.client.Put(LogKey(2), AsBytes(EncodeTakeover(2, 2, record))).ok());
  bench.core.ship = old;
  bench.core.capture->encoder()->set_head(old.shipped);
  LogWriter late(&bench.core);
  SECTION("as the next object") {
    bench.Commit(9);
    REQUIRE(late.Append().ToString() == "OK");
  }
  SECTION("as a takeover") {
    bench.core.ship.writer_id = 0;
    REQUIRE(late.Connect().ToString() == "OK");
  }
  REQUIRE(bench.core.ship.epoch == 2);
  REQUIRE(bench.core.ship.next_log_number == 6);
  REQUIRE(bench.core.ship.shipped.segment_number == 4);
  Result<LogObject> own = ParseLogObject(AsBytes(*bench.client.Get(LogKey(5))), 5);
  REQUIRE(own->header.kind == LogKind::kTakeover);
}

TEST_CASE("an unknown object of our epoch is another writer's", "[log_writer]") {
  Bench bench;
  bench.Commit(1);
  REQUIRE(bench.log.Append().ok());
  std::string header = EncodeLogHeader({LogKind::kSegments, 1, 2, 1});
  Result<std::string> first = bench.client.Get(LogKey(1));
  REQUIRE(first.ok());
  std::string other = header + first->substr(EncodeLogHeader({LogKind::kSegments, 1, 1, 1}).size());
  REQUIRE(bench.client.Put(LogKey(2), AsBytes(other)).ok());
  bench.Commit(2);
  REQUIRE(bench.log.Append().code() == Code::kFenced);
}

// What a restored state goes on behind may say anything about the size of the database.
TEST_CASE("a log object of four billion pages costs no memory", "[log_writer]") {
  Bench bench;
  bench.Commit(1);
  REQUIRE(bench.log.Append().ok());
  SegmentWriter writer;
  writer.Begin(kPageSize);
  writer.BeginStep(1, 5000);
  const uint32_t far = GENERATE(0, 3'999'999'999);
  const std::vector<uint8_t> image(kPageSize, 7);
  if (far != 0) REQUIRE(writer.Add(far, {image.data(), PageHash(far, image)}, {}).ok());
  writer.EndStep(4'000'000'000);
  const LogHead& end = bench.core.ship.shipped;
  Result<std::string> segment = writer.Finish({.page_size = kPageSize,
                                               .number = end.segment_number + 1,
                                               .first_txid = end.txid + 1,
                                               .previous_hash = end.segment_hash});
  REQUIRE(segment.ok());
  const std::string object = EncodeLogHeader({LogKind::kSegments, 1, 2, 1}) + *segment;
  REQUIRE(bench.client.Put(LogKey(2), AsBytes(object)).ok());
  bench.core.ship.writer_id = 0;
  LogWriter heir(&bench.core);
  REQUIRE(heir.Connect().ToString() == "OK");
  REQUIRE(bench.core.ship.next_log_number == 4);
  REQUIRE(bench.core.repair != RepairNeed::kNone);
  // More than before, so that the repair sees that the replica is longer.
  REQUIRE(bench.core.index->pages() > 1);
  REQUIRE(bench.core.index->pages() < 10);
}

}  // namespace backstay
