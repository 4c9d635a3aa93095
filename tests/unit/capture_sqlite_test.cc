// Capture on WALs that SQLite writes: what comes out, applied to an empty image, is the database.

#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/unit/capture_bench.h"
#include "uploader/capture/capture.h"

namespace backstay {

TEST_CASE("every kind of transaction comes out as it went in", "[capture]") {
  for (uint32_t page_size : {512, 4096, 65536}) {
    CAPTURE(page_size);
    CaptureBench bench(page_size);
    bench.Sql(kTableSql);
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
  CaptureBench bench(512);
  bench.Sql(kTableSql);
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
  CaptureBench bench(4096);
  bench.Sql(kTableSql);
  bench.Rows(20000);  // 8 MiB
  REQUIRE(bench.Advance());
  bench.CheckSame();
  bench.Sql("VACUUM; UPDATE t SET text=hex(randomblob(200))");
  bench.Rows(1);
  bench.hurried = true;
  const uint64_t before = bench.capture->encoder()->pages_encoded();
  REQUIRE(bench.Advance());
  REQUIRE(bench.capture->place().Behind(bench.Target()) == 0);
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
  CaptureBench bench(4096);
  bench.Sql(kTableSql);
  for (int i = 0; i < 20; ++i) bench.Rows(1);
  REQUIRE(bench.Advance());
  bench.CheckSame();
  REQUIRE(bench.most_steps > 10);
}

TEST_CASE("a WAL that begins anew is followed", "[capture]") {
  CaptureBench bench(4096);
  bench.Sql(kTableSql);
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
  CaptureBench bench(4096);
  bench.Sql(kTableSql);
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

TEST_CASE("a new wal-index that has come to the same count tells of no commit that is missing",
          "[capture]") {
  CaptureBench bench(4096);
  bench.Sql(kTableSql);
  bench.Rows(300);
  REQUIRE(bench.Advance());
  const uint32_t commits = bench.Target().change;
  bench.Reopen();
  for (uint32_t i = 0; i < commits; ++i)
    bench.Sql("UPDATE t SET text = hex(randomblob(9)) WHERE id % 50 = 0");
  bench.Sql("PRAGMA wal_checkpoint(TRUNCATE)");
  bench.Rows(1);
  REQUIRE(bench.Target().change == commits + 1);
  REQUIRE_FALSE(bench.Advance());
  bench.Repair();
  bench.CheckSame();
}

TEST_CASE("an empty WAL of another wal-index says nothing by its count", "[capture]") {
  CaptureBench bench(4096);
  bench.Sql(kTableSql);
  bench.Rows(1);
  REQUIRE(bench.Advance());
  WalTarget emptied = bench.Target();
  emptied.max_frame = 0;
  SECTION("the next WAL of the same one") {
    ++emptied.salt1;
    REQUIRE(bench.capture->Advance(emptied).value());
  }
  SECTION("another one, in which as much was committed") {
    emptied.salt1 += 1U << 30;
    REQUIRE_FALSE(bench.capture->Advance(emptied).value());
  }
}

TEST_CASE("a new wal-index counts from its own beginning", "[capture]") {
  CaptureBench bench(4096);
  bench.Sql(kTableSql);
  for (int commits : {1, 1, 2, 3, 1}) {
    for (int i = 0; i < commits; ++i) bench.Rows(1);
    REQUIRE(bench.Advance());
    bench.CheckSame();
    bench.Reopen();
  }
}

TEST_CASE("pages of a snapshot copied during writes replay to the database", "[capture]") {
  const bool first = GENERATE(true, false);
  CaptureBench bench(4096);
  bench.Sql(kTableSql);
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
