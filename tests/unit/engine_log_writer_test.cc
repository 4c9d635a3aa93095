// The log writer against a folder whose answers lie, while the outbox collapses under it.

#include <functional>
#include <string>
#include <vector>

#include "tests/unit/log_writer_bench.h"
#include "uploader/format/pack.h"

namespace backstay {
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
  REQUIRE(!bench.core.life.whole());
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
  REQUIRE(!bench.core.life.whole());
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
  bench.Commit(4);
  REQUIRE(heir.Append().ToString() == "OK");
  REQUIRE(bench.core.ship.epoch == 2);
  REQUIRE(bench.core.ship.shipped.segment_number == 3);
  REQUIRE(bench.core.index->Get(2) != 0);
  REQUIRE(bench.core.index->Get(3) == 0);
  bench.CheckLog();
}

TEST_CASE("a restored state takes the log over when it has something to append", "[log_writer]") {
  Bench bench;
  bench.Commit(1);
  REQUIRE(bench.log.Append().ok());
  bench.core.ship.writer_id = 0;
  LogWriter heir(&bench.core);
  REQUIRE(heir.Connect().ToString() == "OK");
  REQUIRE(heir.Append().ToString() == "OK");
  REQUIRE(heir.Look().ToString() == "OK");
  REQUIRE(bench.core.ship.epoch == 1);
  REQUIRE(bench.core.ship.next_log_number == 2);
  bench.Commit(2);
  REQUIRE(heir.Append().ToString() == "OK");
  REQUIRE(bench.core.ship.epoch == 2);
  REQUIRE(heir.Append().ToString() == "OK");
  REQUIRE(bench.core.outbox->pending().empty());
  bench.CheckLog();
}

// Two lives ended in the middle of a transaction, and the disk was lost each time.
TEST_CASE("no takeover is put that the state cannot say", "[log_writer]") {
  Bench bench;
  bench.Commit(1);
  REQUIRE(bench.log.Append().ok());
  bench.core.ship.taking_over = true;  // as after a crash
  const uint64_t next = bench.core.ship.next_log_number;
  bench.core.life.On(Life::Distrusts{});
  LogWriter another(&bench.core);
  REQUIRE(another.Connect().code() == Code::kUnavailable);
  REQUIRE(bench.client.Get(LogKey(next)).status().code() == Code::kNotFound);
  bench.core.life.On(Life::Opened{});
  REQUIRE(another.Connect().ok());
  REQUIRE(bench.client.Get(LogKey(next)).ok());
}

TEST_CASE("a writer that is fenced while the outbox rests stays so", "[log_writer]") {
  Bench bench;
  bench.Commit(1);
  REQUIRE(bench.log.Append().ok());
  bench.core.outbox->Rest();
  bench.core.Stop({Code::kFenced, "a newer writer"});
  Result<std::string> saved = ReadFile(bench.folder / "index", 1 << 20);
  REQUIRE(saved.ok());
  REQUIRE(ParseIndexFile(AsBytes(*saved)).value().ship.fenced);
}

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
    bench.Commit(3, 0, /*more=*/true);
    REQUIRE(heir.Append().ok());
    REQUIRE(bench.core.ship.epoch == life);
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
  bench.Commit(4);
  REQUIRE(heir.Append().ToString() == "OK");
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
    bench.Commit(9);
    REQUIRE(late.Append().ToString() == "OK");
  }
  SECTION("with nothing to append") {
    const std::string next = LogKey(2);
    if (GENERATE(false, true)) REQUIRE(bench.client.Delete({next}).ok());
    bench.core.ship.snapshot_number = 0;
    REQUIRE(late.Connect().ToString() == "OK");
  }
  REQUIRE(bench.core.ship.epoch == 2);
  REQUIRE(bench.core.ship.next_log_number == 6);
  REQUIRE(bench.core.ship.shipped.segment_number == 4);
  Result<LogObject> own = ParseLogObject(AsBytes(*bench.client.Get(LogKey(5))), 5);
  REQUIRE(own->header.kind == LogKind::kTakeover);
}

// Nothing that waits would tell it: what is restored would be what was put back.
TEST_CASE("a state that was put back is behind the log from the beginning", "[log_writer]") {
  Bench bench;
  const uint32_t known = GENERATE(1, 3);
  ShipState old;
  for (uint32_t number = 1; number <= 6; ++number) {
    bench.Commit(number);
    REQUIRE(bench.log.Append().ok());
    if (number == known) old = bench.core.ship;
  }
  bench.core.ship = old;
  bench.core.capture->encoder()->set_head(old.shipped);
  LogWriter late(&bench.core);
  REQUIRE(late.Connect().ToString() == "OK");
  REQUIRE(bench.core.ship.epoch == 2);
  REQUIRE(bench.core.ship.next_log_number == 8);
  REQUIRE(bench.core.ship.shipped.segment_number == 6);
  REQUIRE(bench.core.index->Get(6) == 0);
  REQUIRE(!bench.core.life.whole());
  // One that is at its end takes nothing over.
  const int conditions = bench.client.conditions;
  REQUIRE(LogWriter(&bench.core).Connect().ToString() == "OK");
  REQUIRE(bench.core.ship.epoch == 2);
  REQUIRE(bench.client.conditions == conditions);
}

// What an earlier life left to be shipped, each of two copies of its state folder ships: the number
// behind it, which is free once the other one has packed what it put there, has to be a takeover's.
TEST_CASE("an object that only an earlier life can have put is taken over behind", "[log_writer]") {
  Bench bench;
  bench.Commit(1);
  bench.Commit(2);
  std::string object = EncodeLogHeader({LogKind::kSegments, 1, 1, 1});
  object += bench.core.outbox->ReadProven(bench.core.outbox->pending().front())->bytes;
  REQUIRE(bench.client.Put(LogKey(1), AsBytes(object)).ok());
  SECTION("at once") { REQUIRE(bench.log.Append().ToString() == "OK"); }
  SECTION("when it can be") {
    bench.client.after = [] { return Status(Code::kUnavailable, "no answer", true); };
    REQUIRE(bench.log.Append().code() == Code::kUnavailable);
    bench.client.after = nullptr;
    REQUIRE(bench.core.ship.taking_over);
    REQUIRE(bench.log.Append().ToString() == "OK");
  }
  REQUIRE(bench.core.ship.shipped.segment_number == 1);
  REQUIRE(bench.core.ship.epoch == 2);
  Result<LogObject> takeover = ParseLogObject(AsBytes(*bench.client.Get(LogKey(2))), 2);
  REQUIRE(takeover->header.kind == LogKind::kTakeover);
  REQUIRE(bench.log.Append().ToString() == "OK");
  bench.Commit(3);
  REQUIRE(bench.log.Append().ToString() == "OK");
  REQUIRE(bench.core.ship.epoch == 2);
  REQUIRE(bench.core.life.whole());
  bench.CheckLog();
}

// A record that continues an earlier end of the log than the snapshot's beginning is refused by
// whoever reads from there.
TEST_CASE("no snapshot spans a takeover", "[log_writer]") {
  Bench bench;
  bench.Commit(1);
  const uint64_t run = bench.core.copy.Begin({});
  REQUIRE(bench.core.CopyMayBeginLocked());
  SECTION("an object that an earlier life can have put waits for the manifest") {
    std::string object = EncodeLogHeader({LogKind::kSegments, 1, 1, 1});
    object += bench.core.outbox->ReadProven(bench.core.outbox->pending().front())->bytes;
    REQUIRE(bench.client.Put(LogKey(1), AsBytes(object)).ok());
    if (GENERATE(false, true)) bench.core.copy.End(bench.core.capture->encoder()->head());
    REQUIRE(bench.log.Append().ToString() == "OK");
    REQUIRE(bench.core.ship.epoch == 1);
    REQUIRE(bench.core.copy.Counts(run));
  }
  SECTION("one that is due voids it, and none begins meanwhile") {
    bench.core.ship.writer_id = 0;
    bench.client.after = [] { return Status(Code::kUnavailable, "no answer", true); };
    REQUIRE(bench.log.Append().code() == Code::kUnavailable);
    REQUIRE_FALSE(bench.core.copy.Counts(run));
    REQUIRE_FALSE(bench.core.CopyMayBeginLocked());
    bench.client.after = nullptr;
    REQUIRE(bench.log.Append().ToString() == "OK");
    REQUIRE(bench.core.ship.epoch == 2);
    REQUIRE(bench.core.CopyMayBeginLocked());
  }
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
  bench.Commit(1);
  REQUIRE(heir.Append().ToString() == "OK");
  REQUIRE(bench.core.ship.next_log_number == 4);
  REQUIRE(!bench.core.life.whole());
  // Restore refuses that object.
  REQUIRE_FALSE(bench.core.ship.restorable);
  REQUIRE(bench.core.ship.snapshot_above == 2);
  REQUIRE(bench.logged.find("ERROR") != std::string::npos);
  // More than before, so that the repair sees that the replica is longer.
  REQUIRE(bench.core.index->pages() > 1);
  REQUIRE(bench.core.index->pages() < 10);
}

}  // namespace backstay
