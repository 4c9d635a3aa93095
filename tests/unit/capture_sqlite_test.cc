// Capture on WALs that SQLite writes: what comes out, applied to an empty image, is the database.

#include <fcntl.h>
#include <sqlite3.h>

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/capture/capture.h"

namespace backstay {
namespace {

constexpr size_t kMaxFile = 1 << 30;

class Bench {
 public:
  explicit Bench(uint32_t page_size) : page_size_(page_size), index(LockBytePage(page_size)) {
    REQUIRE(sqlite3_open(path_.c_str(), &db_) == SQLITE_OK);
    Sql("PRAGMA page_size=" + std::to_string(page_size));
    Sql("PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0; PRAGMA synchronous=off");
    sqlite3_wal_hook(
        db_,
        [](void* self, sqlite3*, const char*, int frames) {
          auto* bench = static_cast<Bench*>(self);
          bench->frames_ = static_cast<uint32_t>(frames);
          ++bench->commits_;
          return SQLITE_OK;
        },
        this);
    REQUIRE(outbox.Open({[](auto&) {}, [](auto&) {}, [](auto&) {}}).ok());
    MakeCapture();
    REQUIRE(capture->StartFresh(WalTarget{}).ok());
    // The journal mode is written before anything is captured.
    image_ = ReadFile(path_, kMaxFile).value();
    index.Resize(static_cast<uint32_t>(image_.size() / page_size_));
  }
  ~Bench() { sqlite3_close(db_); }

  void Sql(const std::string& sql) {
    char* error = nullptr;
    int rc = sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, &error);
    INFO((error != nullptr ? error : ""));
    REQUIRE(rc == SQLITE_OK);
  }
  void Rows(int count) {
    Sql("INSERT INTO t(text) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE "
        "i < " +
        std::to_string(count) + ") SELECT hex(randomblob(200)) FROM n");
  }
  WalTarget Target() {
    WalTarget target;
    std::string wal = ReadFile(path_ + "-wal", kMaxFile).value_or("");
    if (wal.size() < 32) return target;
    target.salt1 = LoadBe32(AsBytes(wal).data() + 16);
    target.salt2 = LoadBe32(AsBytes(wal).data() + 20);
    target.max_frame = frames_;
    target.change = commits_;
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v2(db_, "PRAGMA page_count", -1, &statement, nullptr);
    sqlite3_step(statement);
    target.pages = static_cast<uint32_t>(sqlite3_column_int64(statement, 0));
    sqlite3_finalize(statement);
    return target;
  }
  bool Advance() { return capture->Advance(Target()).value(); }
  void Repair(bool all = true) {
    REQUIRE(capture
                ->Repair(
                    all, [this] { return std::vector<WalTarget>{Target()}; }, [] { return true; })
                .ok());
  }

  // Applies what waits in the outbox; returns the number of page images.
  size_t Apply() {
    size_t pages = 0;
    for (const Outbox::Pending& pending : outbox.pending()) {
      const std::string bytes = outbox.ReadSegment(pending).value();
      size_t used = 0;
      Segment segment = Segment::Parse(AsBytes(bytes), &used).value();
      most_steps = std::max(most_steps, segment.steps().size());
      more = more || segment.more();
      Status applied = segment.Apply(
          [&](uint32_t pgno, uint8_t* out) {
            if (pgno * size_t{page_size_} > image_.size()) return Status(Code::kCorrupt, "no base");
            std::memcpy(out, image_.data() + (pgno - 1) * size_t{page_size_}, page_size_);
            return Status::Ok();
          },
          [&](size_t, uint32_t pgno, Bytes page, uint64_t) {
            ++pages;
            size_t end = pgno * size_t{page_size_};
            if (image_.size() < end) image_.resize(end);
            std::memcpy(image_.data() + end - page_size_, page.data(), page_size_);
            return Status::Ok();
          });
      REQUIRE(applied.ToString() == "OK");
      image_.resize(segment.steps().back().pages * size_t{page_size_});
    }
    outbox.Shipped(UINT64_MAX);
    return pages;
  }
  // The applied image is the database, which the checkpoint makes whole in its file.
  void CheckSame() {
    Apply();
    Sql("PRAGMA wal_checkpoint(FULL)");
    REQUIRE((image_ == ReadFile(path_, kMaxFile).value()));
    REQUIRE(capture->encoder()->outbox_status().ok());
  }

  // The next segments are applied to this.
  void SetImage(std::string image) { image_ = std::move(image); }

  void CutImage(uint32_t pages) { image_.resize(pages * size_t{page_size_}); }

  size_t most_steps = 0;
  bool more = false;
  bool hurried = false;

 private:
  void MakeCapture() {
    Capture::Options options;
    options.database_path = path_;
    options.page_size = page_size_;
    options.cache_bytes = 1 << 16;
    options.file = [this](void* out, int64_t n, int64_t offset) -> int64_t {
      if (!file_.valid()) file_ = Fd(open(path_.c_str(), O_RDONLY | O_CLOEXEC));
      return static_cast<int64_t>(
          ReadAt(file_, static_cast<uint8_t*>(out), static_cast<size_t>(n), offset).value());
    };
    options.file_size = [this] { return FileSize(Fd(open(path_.c_str(), O_PATH))).value(); };
    options.hurried = [this] { return hurried; };
    options.index = &index;
    options.outbox = &outbox;
    options.clock = RealClock();
    capture = std::make_unique<Capture>(std::move(options));
  }

  const uint32_t page_size_;
  TempFolder folder_;
  const std::string path_ = folder_ / "db";
  sqlite3* db_ = nullptr;
  Fd file_;
  uint32_t frames_ = 0;
  uint32_t commits_ = 0;
  std::string image_;

 public:
  PageIndex index;
  Outbox outbox{folder_ / "outbox"};
  std::unique_ptr<Capture> capture;
};

const char kSchema[] = "CREATE TABLE t(id INTEGER PRIMARY KEY, text)";

}  // namespace

TEST_CASE("every kind of transaction comes out as it went in", "[capture]") {
  for (uint32_t page_size : {512, 4096, 65536}) {
    CAPTURE(page_size);
    Bench bench(page_size);
    bench.Sql(kSchema);
    bench.Rows(50);
    REQUIRE(bench.Advance());
    bench.CheckSame();
    // Spilled to the WAL before its end, in part rolled back.
    bench.Sql("PRAGMA cache_spill=1; PRAGMA cache_size=5; BEGIN");
    bench.Rows(2000);
    bench.Sql("SAVEPOINT s; UPDATE t SET text='lost'; ROLLBACK TO s");
    bench.Rows(10);
    bench.Sql("COMMIT");
    REQUIRE(bench.Advance());
    bench.CheckSame();
    bench.Sql("BEGIN; UPDATE t SET text='lost'; ROLLBACK; DELETE FROM t WHERE id % 3 = 0");
    bench.Sql("VACUUM");
    REQUIRE(bench.Advance());
    bench.CheckSame();
    bench.Sql("DELETE FROM t; VACUUM");
    bench.Rows(20);
    REQUIRE(bench.Advance());
    bench.CheckSame();
    REQUIRE(bench.index.unknown() == 0);
  }
}

TEST_CASE("a transaction larger than a segment goes on in the next", "[capture]") {
  Bench bench(512);
  bench.Sql(kSchema);
  bench.Sql("BEGIN");
  bench.Rows(4000);  // well above 256 frames
  bench.Sql("COMMIT");
  REQUIRE(bench.Advance());
  bench.CheckSame();
  REQUIRE(bench.more);
  REQUIRE_FALSE(bench.capture->encoder()->open());
}

TEST_CASE("the rest of a long transaction that somebody waits for is left to a repair",
          "[capture]") {
  Bench bench(4096);
  bench.Sql(kSchema);
  bench.Rows(20000);  // 8 MiB
  REQUIRE(bench.Advance());
  bench.CheckSame();
  bench.Sql("VACUUM; UPDATE t SET text=hex(randomblob(200))");
  bench.Rows(1);
  bench.hurried = true;
  const uint64_t before = bench.capture->encoder()->pages_encoded();
  REQUIRE(bench.Advance());
  REQUIRE(bench.capture->Behind(bench.Target()) == 0);
  REQUIRE(bench.capture->encoder()->pages_encoded() - before < 1000);
  REQUIRE(bench.capture->encoder()->open());
  REQUIRE(bench.index.unknown() > 1000);
  // The WAL begins anew meanwhile.
  bench.Sql("PRAGMA wal_checkpoint(RESTART)");
  bench.Rows(30);
  bench.Repair(/*all=*/false);
  REQUIRE_FALSE(bench.capture->encoder()->open());
  REQUIRE(bench.index.unknown() == 0);
  bench.CheckSame();
  // Short ones stay apart, however many they are.
  for (int i = 0; i < 40; ++i) bench.Sql("UPDATE t SET text=hex(randomblob(200)) WHERE id < 1000");
  REQUIRE(bench.Advance());
  REQUIRE(bench.index.unknown() == 0);
  bench.CheckSame();
}

TEST_CASE("several transactions share a segment", "[capture]") {
  Bench bench(4096);
  bench.Sql(kSchema);
  for (int i = 0; i < 20; ++i) bench.Rows(1);
  REQUIRE(bench.Advance());
  bench.CheckSame();
  REQUIRE(bench.most_steps > 10);
}

TEST_CASE("a WAL that begins anew is followed", "[capture]") {
  Bench bench(4096);
  bench.Sql(kSchema);
  for (const char* mode : {"RESTART", "TRUNCATE", "FULL"}) {
    bench.Rows(100);
    REQUIRE(bench.Advance());
    bench.Sql(std::string("PRAGMA wal_checkpoint(") + mode + ")");
    bench.Rows(30);
    REQUIRE(bench.Advance());
    bench.CheckSame();
  }
}

TEST_CASE("a WAL that began anew unseen is a gap, and a repair closes it", "[capture]") {
  Bench bench(4096);
  bench.Sql(kSchema);
  bench.Rows(500);
  REQUIRE(bench.Advance());
  bench.CheckSame();
  bench.Sql("UPDATE t SET text='changed' WHERE id % 50 = 0");
  bench.Sql("PRAGMA wal_checkpoint(RESTART)");
  bench.Rows(100);
  REQUIRE_FALSE(bench.Advance());
  bench.Repair();
  REQUIRE_FALSE(bench.capture->encoder()->open());
  bench.CheckSame();
  bench.Rows(1);
  REQUIRE(bench.Advance());
  bench.CheckSame();
}

TEST_CASE("a repair ships what differs and nothing else", "[capture]") {
  Bench bench(4096);
  bench.Sql(kSchema);
  bench.Rows(1000);
  REQUIRE(bench.Advance());
  bench.CheckSame();
  const uint64_t segment = bench.capture->encoder()->head().segment_number;
  bench.Repair();
  REQUIRE(bench.capture->encoder()->head().segment_number == segment);
  bench.index.Set(7, 0);
  bench.Repair();
  REQUIRE(bench.Apply() == 1);
  bench.index.SetAllUnknown();
  bench.Repair();
  REQUIRE(bench.Apply() == bench.index.pages());
  bench.CheckSame();
}

// The wal-index is reset before the header of the WAL is overwritten: in between it tells of an
// empty WAL, and the last commits are only in the frames.
TEST_CASE("a repair of some pages passes nothing that is committed just before it", "[capture]") {
  Bench bench(4096);
  bench.Sql("CREATE TABLE t(id INTEGER PRIMARY KEY, text)");
  bench.Rows(200);
  REQUIRE(bench.Advance());
  bench.index.Set(3, 0);
  bench.Sql("UPDATE t SET text = 'x' WHERE id > 150");
  bench.Repair(/*all=*/false);
  bench.CheckSame();
}

TEST_CASE("a repair merges the end of a WAL whose successor is announced", "[capture]") {
  Bench bench(4096);
  bench.Sql(kSchema);
  bench.Rows(3000);
  REQUIRE(bench.Advance());
  bench.CheckSame();
  bench.index.Set(2, 0);
  bool written = false;
  auto fresh = [&] {
    std::vector<WalTarget> targets{bench.Target()};
    if (written) targets.push_back({targets[0].salt1 + 1, 77, 0, 0, targets[0].change, false});
    return targets;
  };
  auto yield = [&] {
    if (!written)
      bench.Sql("UPDATE t SET text='late' WHERE id < 20; PRAGMA wal_checkpoint(PASSIVE)");
    written = true;
    return true;
  };
  REQUIRE(bench.capture->Repair(true, fresh, yield).ok());
  REQUIRE(written);
  bench.CheckSame();
}

TEST_CASE("a repair knows that the replica is shorter, whatever is committed meanwhile",
          "[capture]") {
  Bench bench(4096);
  bench.Sql(kSchema);
  bench.Rows(2000);
  REQUIRE(bench.Advance());
  bench.CheckSame();
  // The replica's end turns out to be an older, shorter state of which little is known.
  const uint32_t shorter = bench.index.pages() - 70;
  bench.CutImage(shorter);
  bench.index.Resize(shorter);
  bench.index.Set(3, 0);
  bool grown = false;
  auto yield = [&] {
    if (!grown) bench.Rows(100);
    grown = true;
    return true;
  };
  auto fresh = [&] { return std::vector<WalTarget>{bench.Target()}; };
  REQUIRE(bench.capture->Repair(false, fresh, yield).ok());
  REQUIRE(grown);
  bench.CheckSame();
}

TEST_CASE("pages of a snapshot copied during writes replay to the database", "[capture]") {
  const bool first = GENERATE(true, false);
  Bench bench(4096);
  bench.Sql(kSchema);
  bench.Rows(1000);
  REQUIRE(bench.Advance());
  bench.Apply();
  if (first) bench.index.SetAllUnknown();
  const uint32_t pages = bench.index.pages();
  bench.capture->encoder()->BeginSnapshot(first);
  std::string copy(pages * size_t{4096}, 0);
  for (uint32_t pgno = 1; pgno <= pages; ++pgno) {
    if (pgno % 10 == 0) {
      bench.Sql("UPDATE t SET text = hex(randomblob(150)) WHERE id % 97 = " + std::to_string(pgno));
      bench.Rows(1);
      REQUIRE(bench.Advance());
    }
    auto* out = reinterpret_cast<uint8_t*>(copy.data()) + (pgno - 1) * size_t{4096};
    REQUIRE(bench.capture->CopyPages(pgno, 1, {out, 4096}).ok());
  }
  bench.capture->encoder()->EndSnapshot();
  REQUIRE(bench.index.unknown() == 0);
  bench.SetImage(copy);
  bench.CheckSame();
}

}  // namespace backstay
