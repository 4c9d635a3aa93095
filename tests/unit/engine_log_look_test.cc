// What the log writer does about objects that the bucket has lost.

#include <string>

#include "tests/unit/log_writer_bench.h"

namespace backstay {
namespace {

constexpr int64_t kMinute = 60 * 1000;

struct Written : Bench {
  explicit Written(uint64_t objects = 3) {
    for (uint64_t i = 1; i <= objects; ++i) {
      Commit(static_cast<uint32_t>(i));
      REQUIRE(log.Append().ok());
    }
  }
  void Delete(const std::string& key) { REQUIRE(client.Delete({key}).ok()); }
  bool Has(const std::string& key) { return client.Get(key).ok(); }
  // The log goes on behind `number`, where the takeover lies, and waits for a first snapshot.
  void CheckBegunAnew(uint64_t number) {
    REQUIRE(logged.find("ERROR") != std::string::npos);
    REQUIRE_FALSE(core.ship.restorable);
    REQUIRE(!core.life.whole());
    REQUIRE(core.ship.next_log_number == number + 1);
    REQUIRE(core.ship.epoch == 2);
    REQUIRE(core.ship.shipped.segment_number == number - 1);
    Result<LogObject> record = ParseLogObject(AsBytes(*client.Get(LogKey(number))), number);
    REQUIRE(record->header.kind == LogKind::kTakeover);
  }
};

}  // namespace

TEST_CASE("nothing is missing: a look changes nothing", "[log_look]") {
  Written bench;
  REQUIRE(bench.log.Look().ok());
  REQUIRE(bench.logged.empty());
  REQUIRE(bench.core.ship.restorable);
  REQUIRE(bench.core.ship.next_log_number == 4);
}

TEST_CASE("a look is due again after some minutes", "[log_look]") {
  Written bench;
  REQUIRE_FALSE(bench.log.LookDue());
  bench.clock.now_ms += 4 * kMinute;
  REQUIRE_FALSE(bench.log.LookDue());
  bench.clock.now_ms += 11 * kMinute;
  REQUIRE(bench.log.LookDue());
  REQUIRE(bench.log.Look().ok());
  REQUIRE_FALSE(bench.log.LookDue());
}

TEST_CASE("a glance sees the identity alone, and looks where that is gone", "[log_look]") {
  Written bench;
  const int64_t now = bench.clock.MonotonicMs();
  bench.Delete(LogKey(3));
  REQUIRE(bench.log.Glance().ok());
  REQUIRE(bench.logged.empty());
  REQUIRE(bench.core.looks.SeenSince(now));
  bench.Delete(kIdentityKey);
  REQUIRE(bench.log.Glance().ok());
  REQUIRE(bench.Has(kIdentityKey));
  bench.CheckBegunAnew(4);
}

TEST_CASE("a proof sees identity and newest manifest in turn, by one request", "[log_look]") {
  Written bench;
  REQUIRE(bench.log.Prove().ok());  // the first is a whole look
  for (int i = 0; i < 4; ++i) {
    const int gets = bench.client.gets;
    const int lists = bench.client.lists;
    const int64_t now = ++bench.clock.now_ms;
    REQUIRE(bench.log.Prove().ok());
    REQUIRE(bench.core.looks.ProvedSince(now));
    // Who waits for a look at the identity is not answered by one at the manifest.
    REQUIRE(bench.core.looks.SeenSince(now) == (i % 2 == 0));
    REQUIRE(bench.client.gets == gets + 1);
    REQUIRE(bench.client.lists == lists);
  }
  SECTION("no manifest") { bench.Delete(SnapshotManifestKey(bench.core.ship.snapshot_number)); }
  SECTION("no identity, nor what lies behind it") {
    bench.Delete(kIdentityKey);
    bench.Delete(LogKey(3));
  }
  REQUIRE(bench.log.Prove().ok());
  REQUIRE(bench.log.Prove().ok());
  REQUIRE(bench.Has(kIdentityKey));
  bench.CheckBegunAnew(4);
}

TEST_CASE("a proof looks at all of it once an hour", "[log_look]") {
  Written bench;
  REQUIRE(bench.log.Prove().ok());
  bench.Delete(LogKey(3));
  bench.clock.now_ms += 59 * kMinute;
  REQUIRE(bench.log.Prove().ok());
  REQUIRE(bench.logged.empty());
  bench.clock.now_ms += 2 * kMinute;
  REQUIRE(bench.log.Prove().ok());
  bench.CheckBegunAnew(4);
}

TEST_CASE("a look that began before it was wanted is not the one", "[log_look]") {
  LookBook book;
  REQUIRE_FALSE(book.SeenSince(0));
  book.Want(5);
  book.Seen(4);
  REQUIRE(book.SeenSince(4));
  REQUIRE_FALSE(book.SeenSince(5));
  REQUIRE(book.wanted());
  book.Seen(5);
  REQUIRE_FALSE(book.wanted());
}

TEST_CASE("behind a loss the next look comes soon: whoever deletes may be at it still",
          "[log_look]") {
  Written bench;
  bench.Delete(LogKey(3));
  REQUIRE(bench.log.Look().ok());
  REQUIRE_FALSE(bench.log.LookDue());
  bench.clock.now_ms += kMinute;
  REQUIRE(bench.log.LookDue());
  bench.PutSnapshot(4);
  REQUIRE(bench.log.Look().ok());
  bench.clock.now_ms += kMinute;
  REQUIRE_FALSE(bench.log.LookDue());
}

TEST_CASE("what a list does not show of a snapshot is asked for by name", "[log_look]") {
  Written bench;
  bench.client.hidden = "snapshot/";
  REQUIRE(bench.log.Look().ok());
  REQUIRE(bench.logged.empty());
}

TEST_CASE("an identity that was deleted is written anew, under the same id", "[log_look]") {
  Written bench;
  const std::string identity = *bench.client.Get(kIdentityKey);
  bench.Delete(kIdentityKey);
  SECTION("while it ships") { REQUIRE(bench.log.Look().ok()); }
  SECTION("between two starts") {
    LogWriter next(&bench.core);
    REQUIRE(next.Connect().ok());
  }
  REQUIRE(*bench.client.Get(kIdentityKey) == identity);
  REQUIRE(bench.logged.find("ERROR") != std::string::npos);
  REQUIRE(bench.logged.find("whole again") != std::string::npos);
  REQUIRE(bench.core.ship.restorable);
  REQUIRE(bench.core.ship.next_log_number == 4);
}

TEST_CASE("without a snapshot, or without its end, the log goes on with a new first snapshot",
          "[log_look]") {
  Written bench;
  SECTION("no snapshot") { bench.Delete(SnapshotManifestKey(1)); }
  SECTION("a frame of it") { bench.Delete(SnapshotFrameKey(1, 0, 0)); }
  SECTION("half a frame of it") {
    const std::string half = "fra";
    REQUIRE(bench.client.Put(SnapshotFrameKey(1, 0, 0), AsBytes(half)).ok());
  }
  SECTION("a manifest that says nothing") {
    REQUIRE(bench.client.Put(SnapshotManifestKey(1), AsBytes(std::string("x"))).ok());
  }
  SECTION("no end") { bench.Delete(LogKey(3)); }
  SECTION("nothing at all") {
    const std::vector<ObjectInfo> all = bench.client.List({}).value();
    for (const ObjectInfo& object : all) bench.Delete(object.key);
  }
  SECTION("nothing but the log") {
    bench.Delete(SnapshotManifestKey(1));
    bench.Delete(kIdentityKey);
  }
  SECTION("found by the next start") {
    bench.Delete(SnapshotManifestKey(1));
    LogWriter next(&bench.core);
    REQUIRE(next.Connect().ok());
    return bench.CheckBegunAnew(4);
  }
  REQUIRE(bench.log.Look().ok());
  REQUIRE(bench.Has(kIdentityKey));
  bench.CheckBegunAnew(4);
  bench.core.life.On(Life::Compared{});
  bench.Commit(1);
  REQUIRE(bench.log.Append().ok());
  REQUIRE(bench.Has(LogKey(5)));
}

TEST_CASE("a hole in the middle of the log is told, and the log goes on with a new first snapshot",
          "[log_look]") {
  Written bench(5);
  bench.Delete(LogKey(3));
  SECTION("while it ships") { REQUIRE(bench.log.Look().ok()); }
  SECTION("found by the next start") {
    LogWriter next(&bench.core);
    REQUIRE(next.Connect().ok());
  }
  REQUIRE(bench.logged.find("log/0000000000000003") != std::string::npos);
  bench.CheckBegunAnew(6);
  REQUIRE(bench.core.ship.packed_through == 5);
}

TEST_CASE("what is packed, or lies before the newest snapshot, is no hole", "[log_look]") {
  Written bench(6);
  SECTION("packed") {
    const std::string body = "a pack, by its name";
    REQUIRE(bench.client.Put(PackKey(1, 2), AsBytes(body)).ok());
    REQUIRE(bench.client.Put(PackKey(3, 4), AsBytes(body)).ok());
    for (uint64_t number : {1, 2, 4}) bench.Delete(LogKey(number));
  }
  SECTION("before the snapshot") {
    bench.PutSnapshot(4);
    bench.core.ship.snapshot_number = 4;
    bench.Delete(LogKey(2));
  }
  REQUIRE(bench.log.Look().ok());
  REQUIRE(bench.logged.empty());
  REQUIRE(bench.core.ship.restorable);
}

TEST_CASE("what stands for the end of the log may be a pack", "[log_look]") {
  Written bench;
  const std::string body = "a pack, by its name";
  REQUIRE(bench.client.Put(PackKey(2, 3), AsBytes(body)).ok());
  bench.Delete(LogKey(2));
  bench.Delete(LogKey(3));
  REQUIRE(bench.log.Look().ok());
  REQUIRE(bench.core.ship.restorable);
}

TEST_CASE("a snapshot from before the loss makes nothing restorable", "[log_look]") {
  Written bench;
  bench.PutSnapshot(2);
  bench.Delete(LogKey(3));
  REQUIRE(bench.log.Look().ok());
  LogWriter next(&bench.core);
  REQUIRE(next.Connect().ok());
  REQUIRE_FALSE(bench.core.ship.restorable);
  bench.PutSnapshot(5);
  LogWriter last(&bench.core);
  REQUIRE(last.Connect().ok());
  REQUIRE(bench.core.ship.restorable);
}

TEST_CASE("where another writer is, nothing is made good", "[log_look]") {
  Written bench;
  SECTION("a replica of another database") {
    Identity other = bench.core.identity;
    other.id[0] ^= 1;
    REQUIRE(bench.client.Put(kIdentityKey, AsBytes(EncodeIdentity(other))).ok());
    REQUIRE(bench.log.Look().code() == Code::kForeign);
  }
  SECTION("a newer writer of this one") {
    bench.Delete(LogKey(3));
    const Takeover record{bench.core.identity.id, 99, 1, 2, 0, 2};
    REQUIRE(bench.client.Put(LogKey(4), AsBytes(EncodeTakeover(7, 4, record))).ok());
    REQUIRE(bench.log.Look().code() == Code::kFenced);
  }
}

}  // namespace backstay
