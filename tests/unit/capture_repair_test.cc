// Repairs by Capture in WAL mode: what is compared, what is committed meanwhile, and where it
// stands then.

#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/unit/capture_bench.h"
#include "uploader/capture/capture.h"

namespace backstay {
namespace {

// So many rows, which the replica has.
void Fill(CaptureBench* bench, int rows) {
  bench->Sql(kTableSql);
  bench->Rows(rows);
  REQUIRE(bench->Advance());
  bench->CheckSame();
}

}  // namespace

TEST_CASE("behind a repair in a WAL the file alone is not what is encoded", "[capture]") {
  CaptureBench bench(4096);
  bench.Sql(kTableSql);
  REQUIRE(bench.Advance());
  bench.Reopen();
  bench.Rows(1);
  REQUIRE(bench.capture->place().file().size >= 0);
  bench.Repair();
  REQUIRE(bench.capture->place().file().size < 0);
  bench.CheckSame();
}

TEST_CASE("a repair ships what differs and nothing else", "[capture]") {
  CaptureBench bench(4096);
  Fill(&bench, 1000);
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
  CaptureBench bench(4096);
  bench.Sql("CREATE TABLE t(id INTEGER PRIMARY KEY, text)");
  bench.Rows(200);
  REQUIRE(bench.Advance());
  bench.index.Set(3, 0);
  bench.Sql("UPDATE t SET text = 'x' WHERE id > 150");
  bench.Repair(/*all=*/false);
  bench.CheckSame();
}

TEST_CASE("a repair merges the end of a WAL whose successor is announced", "[capture]") {
  CaptureBench bench(4096);
  Fill(&bench, 3000);
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
  CaptureBench bench(4096);
  Fill(&bench, 2000);
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

// What was compared before that is older than what was compared behind it.
TEST_CASE(
    "a repair does not end with a state that never was, where a commit goes into the file "
    "unseen",
    "[capture]") {
  CaptureBench bench(4096);
  Fill(&bench, 2000);
  const uint64_t txid = bench.capture->encoder()->head().txid;
  std::vector<WalTarget> targets{bench.Target()};
  auto yield = [&] {
    if (targets[0].max_frame == 0) return true;
    bench.Sql("UPDATE t SET text = 'new'; PRAGMA wal_checkpoint(TRUNCATE)");
    targets[0] = {targets[0].salt1 + 1, 77, 0, targets[0].pages, targets[0].change + 1};
    targets[0].held = true;
    return true;
  };
  const Status repaired = bench.capture->Repair(
      true, [&] { return targets; }, yield);
  REQUIRE(targets[0].max_frame == 0);
  REQUIRE(repaired.code() == Code::kUnavailable);
  REQUIRE(bench.capture->encoder()->head().txid == txid);
  REQUIRE(bench.capture
              ->Repair(
                  true, [&] { return targets; }, yield)
              .ok());
  bench.CheckSame();
}

}  // namespace backstay
