// Capture without a WAL, on a file in memory: after a repair the index is what the file is,
// whatever was handed over meanwhile.

#include <sqlite3.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/base/hash.h"
#include "uploader/capture/capture.h"
#include "uploader/capture/file_look.h"
#include "uploader/engine/handover.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

constexpr uint32_t kPage = 512;  // bytes

class Bench {
 public:
  explicit Bench(uint32_t pages) : index(LockBytePage(kPage)) {
    REQUIRE(outbox_.Open({[](auto&) {}, [](auto&) {}, [](auto&) {}}).ok());
    Capture::Options options;
    options.database_path = folder_ / "db";
    options.page_size = kPage;
    options.cache_bytes = 1 << 16;
    options.file = [this](void* out, int64_t n, int64_t offset) {
      const int64_t size = std::clamp<int64_t>(Size() - offset, 0, n);
      std::memcpy(out, bytes_.data() + offset, static_cast<size_t>(size));
      return size;
    };
    options.file_size = [this] { return Size(); };
    options.index = &index;
    options.outbox = &outbox_;
    options.clock = RealClock();
    capture = std::make_unique<Capture>(std::move(options));
    for (uint32_t pgno = 1; pgno <= pages; ++pgno) Write(pgno, 1);
  }

  void Write(uint32_t pgno, uint8_t value) {
    const size_t end = size_t{pgno} * kPage;
    if (bytes_.size() < end) bytes_.resize(end, 0);
    std::fill_n(bytes_.begin() + static_cast<int64_t>(end - kPage), kPage, value);
  }
  // Writes pages and hands them over, with images or without.
  TransactionPtr Change(std::vector<uint32_t> pgnos, bool images = true) {
    auto made = std::make_shared<Transaction>();
    made->committed = true;
    made->page_size = kPage;
    for (uint32_t pgno : pgnos) {
      Write(pgno, ++value_);
      if (images) made->images.insert(made->images.end(), kPage, value_);
    }
    made->old.assign(made->images.size(), 0);
    made->pages = pages();
    made->pgnos = std::move(pgnos);
    return made;
  }
  uint32_t pages() const { return static_cast<uint32_t>(bytes_.size() / kPage); }
  int64_t Size() const { return static_cast<int64_t>(bytes_.size()); }

  // `during`: what is handed over at each look.
  void Repair(bool all, std::vector<std::vector<TransactionPtr>> during) {
    size_t turn = 0;
    FileFollower file;
    file.take = [&]() -> Result<FileFollower::Changes> {
      FileFollower::Changes changes{{}, pages(), {}};
      if (turn < during.size()) changes.transactions = during[turn++];
      return changes;
    };
    file.begun = [] { return uint64_t{0}; };
    file.settled = [&](uint64_t) -> Result<bool> { return turn >= during.size(); };
    file.yield = [yields = 0](bool) mutable { return ++yields < 10000; };
    file.keep = [](int) {};
    file.let = [] {};
    REQUIRE(capture->RepairFile(all, file).ToString() == "OK");
  }
  void CheckIndex() {
    REQUIRE(index.pages() == pages());
    REQUIRE_FALSE(capture->encoder()->open());
    for (uint32_t pgno = 1; pgno <= pages(); ++pgno) {
      CAPTURE(pgno);
      const uint8_t* page = bytes_.data() + size_t{pgno - 1} * kPage;
      REQUIRE(index.Get(pgno) == PageHash(pgno, {page, kPage}));
    }
  }

 private:
  TempFolder folder_;
  std::vector<uint8_t> bytes_;
  Outbox outbox_{folder_ / "outbox"};
  uint8_t value_ = 1;

 public:
  PageIndex index;
  std::unique_ptr<Capture> capture;
};

}  // namespace

TEST_CASE("a repair of the file covers what the replica lacks", "[capture_file]") {
  Bench bench(20);
  SECTION("from nothing") { bench.Repair(true, {}); }
  SECTION("a shorter replica, while the database grows") {
    bench.Repair(true, {});
    bench.index.Resize(10);
    bench.Repair(false, {{bench.Change({3, 24})}, {}, {bench.Change({2, 29})}});
  }
  SECTION("transactions without images") {
    bench.Repair(true, {});
    bench.Repair(false, {{}, {bench.Change({5, 6, 22}, false)}, {bench.Change({6})}});
  }
  SECTION("a longer replica") {
    bench.Repair(true, {});
    bench.index.Resize(40);
    bench.Repair(true, {});
  }
  SECTION("much of it behind the end of the file") {
    bench.Repair(true, {});
    bench.index.Resize(20 + (33 << 20) / kPage);
    bench.Repair(false, {});
  }
  bench.CheckIndex();
}

TEST_CASE("transactions are encoded in order, and only where they changed something",
          "[capture_file]") {
  Bench bench(20);
  bench.Repair(true, {});
  const uint64_t before = bench.capture->encoder()->head().txid;
  auto first = bench.Change({3, 7});
  auto second = bench.Change({3, 9});
  REQUIRE(bench.capture->EncodeTransactions({first, second, second}).ok());
  bench.CheckIndex();
  REQUIRE(bench.capture->encoder()->head().txid == before + 2);
}

// SQLite writes its head before the first page of the database.
TEST_CASE("the journal of a writer that waits does not hinder what it waits for",
          "[capture_file]") {
  TempFolder folder;
  const std::string path = folder / "db";
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
  const auto sql = [&](const std::string& text) {
    REQUIRE(sqlite3_exec(db, text.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  };
  const std::string mode = GENERATE("delete", "truncate", "persist");
  sql("PRAGMA synchronous=off; PRAGMA journal_mode=" + mode + "; CREATE TABLE t(x)");
  const auto look = [&] {
    const std::string bytes = ReadFile(path, 1 << 20).value();
    FileLook seen = ParseLook(AsBytes(bytes).first(100), static_cast<int64_t>(bytes.size()));
    seen.stamp = StampOf(path);
    return seen;
  };
  Handover handover({look, [&] { return JournalActive(path); }, nullptr});
  static_cast<void>(handover.Opened(look()));
  sql("BEGIN; INSERT INTO t VALUES (1)");
  REQUIRE(JournalActive(path));
  REQUIRE(handover.SettledSince(0) == Handover::Settled::kNotYet);
  handover.Keep(true);
  std::thread writer([&] { handover.Begin(look()); });
  bool settled = false;
  while (!settled && handover.begun() == 0) {
    settled = handover.SettledSince(0) == Handover::Settled::kYes && handover.begun() == 0;
  }
  handover.Keep(false);
  writer.join();
  REQUIRE(settled);
  sql("COMMIT");
  handover.EndUnknown(look());
  REQUIRE(sqlite3_close(db) == SQLITE_OK);
}

// Another process commits while it is looked at: a newer counter with an older size would stand for
// the file from then on, and what it has grown by would be left out.
TEST_CASE("a look has no size that is older than the change counter", "[capture_file]") {
  TempFolder folder;
  const std::string path = folder / "db";
  sqlite3* db = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &db) == SQLITE_OK);
  const auto run = [&](const char* sql) {
    REQUIRE(sqlite3_exec(db, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
  };
  run("CREATE TABLE t(a)");
  const auto read = [&] { return ReadFile(path, 1 << 20).value(); };
  const auto size = [&] { return static_cast<int64_t>(read().size()); };
  const auto before = static_cast<uint32_t>(size() / 4096);
  const FileReader grows = [&](void* out, int64_t n, int64_t) {
    run("INSERT INTO t VALUES(randomblob(50000))");
    std::memcpy(out, read().data(), static_cast<size_t>(n));
    return n;
  };
  const FileLook look = LookAt(path, grows, size);
  sqlite3_close(db);
  REQUIRE(look.pages > before);
  REQUIRE(look.pages == size() / 4096);
  REQUIRE(look.stamp.size == size());
}

TEST_CASE("a first copy knows no page that a segment before it may hold", "[capture_file]") {
  Bench bench(20);
  bench.index.Resize(20);
  Encoder* encoder = bench.capture->encoder();
  std::set<uint32_t> held;
  SECTION("of an earlier process") {
    std::vector<bool> pages(20);
    pages[4] = pages[19] = true;
    encoder->GoOnWithSnapshot(/*first=*/true, pages);
    held = {5, 20};
  }
  SECTION("of this one, lost since, or cut off") {
    encoder->BeginSnapshot(/*first=*/true);
    REQUIRE(bench.capture->EncodeTransactions({bench.Change({5})}).ok());
    bench.capture->SkipTransaction(*bench.Change({5}, /*images=*/false));
    Transaction cut = *bench.Change({1});
    cut.pages = 18;
    REQUIRE(bench.capture->EncodeTransactions({std::make_shared<Transaction>(cut)}).ok());
    bench.capture->SkipTransaction(*bench.Change({20}, /*images=*/false));
    held = {5, 19, 20};
  }
  std::vector<uint8_t> images(20 * kPage);
  REQUIRE(bench.capture->CopyPages(1, 20, images).ok());
  for (uint32_t pgno = 1; pgno <= 20; ++pgno) {
    CAPTURE(pgno);
    CHECK((bench.index.Get(pgno) == 0) == held.contains(pgno));
  }
}

}  // namespace backstay
