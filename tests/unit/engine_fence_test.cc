// How the log writer keeps others out on a store that does not refuse to create what exists.

#include <string>
#include <utility>

#include "tests/unit/log_writer_bench.h"
#include "uploader/engine/packer.h"

namespace backstay {
namespace {

constexpr int64_t kSecond = 1000;

// A store that does not refuse, and a log of two objects in it.
struct Unrefused : Bench {
  explicit Unrefused(decltype(LyingClient::store) store = LyingClient::kIgnores) {
    client.store = store;
    core.ship.refusing_store = 0;
    heir = std::make_unique<LogWriter>(&core);
    REQUIRE(heir->Connect().ToString() == "OK");
    for (uint32_t pgno : {1, 2}) {
      Commit(pgno);
      REQUIRE(heir->Append().ToString() == "OK");
    }
  }
  void Announce(uint64_t writer) {
    const std::string text = EncodeAnnouncement({writer, 77});
    REQUIRE(client.Put(kWriterKey, AsBytes(text)).ok());
  }
  void TakeOver(uint64_t number, uint64_t epoch) {
    const Takeover record{core.identity.id,
                          99,
                          1,
                          core.ship.shipped.segment_number,
                          core.ship.shipped.segment_hash,
                          2};
    REQUIRE(client.Put(LogKey(number), AsBytes(EncodeTakeover(epoch, number, record))).ok());
  }
  bool Warned() const { return logged.find("does not refuse") != std::string::npos; }

  std::unique_ptr<LogWriter> heir;
};

}  // namespace

TEST_CASE("a store that refuses is asked once, and again at another place", "[fence]") {
  Bench bench;
  REQUIRE(bench.core.ship.refusing_store != 0);
  const int asked = bench.client.conditions;
  LogWriter next(&bench.core);
  REQUIRE(next.Connect().ok());
  REQUIRE(bench.client.conditions == asked);
  bench.client.place = "another server";
  LogWriter there(&bench.core);
  REQUIRE(there.Connect().ok());
  REQUIRE(bench.client.conditions == asked + 1);
  REQUIRE(bench.logged.empty());
  REQUIRE(bench.client.Get(kWriterKey).status().code() == Code::kNotFound);
}

TEST_CASE("a store that does not refuse is warned of, and asked again at the next start",
          "[fence]") {
  Unrefused bench(GENERATE(LyingClient::kIgnores, LyingClient::kAnswers501));
  REQUIRE(bench.Warned());
  bench.CheckLog();
  bench.logged.clear();
  LogWriter next(&bench.core);
  REQUIRE(next.Connect().ok());
  REQUIRE(bench.Warned());
  bench.client.store = LyingClient::kRefuses;
  bench.logged.clear();
  LogWriter last(&bench.core);
  REQUIRE(last.Connect().ok());
  REQUIRE(bench.core.ship.refusing_store != 0);
  REQUIRE(bench.logged.empty());
}

TEST_CASE("nothing is acknowledged once another writer has announced itself", "[fence]") {
  Unrefused bench;
  bench.Commit(3);
  SECTION("before the upload") {
    bench.clock.now_ms += 2 * kSecond;
    bench.Announce(99);
    REQUIRE(bench.heir->Append().code() == Code::kContended);
    REQUIRE(bench.client.Get(LogKey(3)).status().code() == Code::kNotFound);
    bench.TakeOver(3, 2);
  }
  SECTION("during the upload") {
    bench.Announce(99);  // what was asked a moment ago counts for the beginning
    REQUIRE(bench.heir->Append().code() == Code::kContended);
    REQUIRE(bench.client.Get(LogKey(3)).ok());
    REQUIRE(bench.heir->Append().code() == Code::kContended);
    bench.TakeOver(4, 2);
  }
  REQUIRE(bench.core.ship.shipped.segment_number == 2);
  REQUIRE(bench.heir->Look().code() == Code::kFenced);
  REQUIRE(bench.core.ship.shipped.segment_number == 2);
}

TEST_CASE("a writer that announced itself and died stops nobody for long", "[fence]") {
  Unrefused bench;
  bench.Commit(3);
  bench.clock.now_ms += 2 * kSecond;
  bench.Announce(99);
  REQUIRE(bench.heir->Append().code() == Code::kContended);
  bench.clock.now_ms += 25 * kSecond;
  REQUIRE(bench.heir->Look().ToString() == "OK");
  REQUIRE(bench.heir->Append().ToString() == "OK");
  REQUIRE(bench.core.ship.shipped.segment_number == 3);
  bench.CheckLog();
}

TEST_CASE("an announcement that is given up is followed by a takeover", "[fence]") {
  Unrefused bench;
  bench.Commit(3);
  bench.Announce(99);
  REQUIRE(bench.heir->Append().code() == Code::kContended);
  bench.clock.now_ms += 25 * kSecond;
  SECTION("of a writer that died") {
    REQUIRE(bench.heir->Look().ToString() == "OK");
    REQUIRE(bench.core.ship.epoch == 2);
    REQUIRE(bench.core.ship.shipped.segment_number == 3);
    bench.CheckLog();
  }
  SECTION("of one that has packed what it put behind our last object") {
    bench.TakeOver(3, 2);
    const std::string takeover = *bench.client.Get(LogKey(3));
    REQUIRE(bench.client.Put(PackKey(1, 5), AsBytes(takeover)).ok());
    REQUIRE(bench.client.Delete({LogKey(3)}).ok());
    REQUIRE_FALSE(bench.heir->Append().ok());
    REQUIRE_FALSE(bench.heir->Look().ok());
    REQUIRE(bench.core.ship.shipped.segment_number == 2);
  }
}

TEST_CASE("who has been overtaken announces nothing when it starts again", "[fence]") {
  Unrefused bench;
  bench.Announce(99);
  bench.TakeOver(3, 2);
  const std::string announced = *bench.client.Get(kWriterKey);
  LogWriter next(&bench.core);
  REQUIRE(next.Connect().code() == Code::kFenced);
  REQUIRE(*bench.client.Get(kWriterKey) == announced);
}

// What this one kept of the log may not be what the other has put in its place.
TEST_CASE("an overtaken writer packs nothing", "[fence]") {
  Unrefused bench;
  bench.core.shipped.Open(bench.core.identity.id);
  while (bench.core.ship.next_log_number <= PackTiers::kObjects) {
    bench.Commit(1);
    REQUIRE(bench.heir->Append().ToString() == "OK");
  }
  Packer packer(&bench.core, [](const std::function<Status()>& attempt) { return attempt(); });
  bool packed = false;
  const uint64_t writer = GENERATE(uint64_t{99}, uint64_t{0});  // 0: a copy of our state folder
  SECTION("before the pack") {
    bench.Announce(writer != 0 ? writer : bench.core.ship.writer_id);
    CHECK(packer.Run(&packed).code() == Code::kContended);
    CHECK(bench.client.Get(PackKey(1, PackTiers::kObjects)).status().code() == Code::kNotFound);
  }
  SECTION("before the deletes") {
    bench.client.listed = [&] { bench.Announce(writer != 0 ? writer : bench.core.ship.writer_id); };
    CHECK(packer.Run(&packed).code() == Code::kContended);
  }
  CHECK(bench.client.Get(LogKey(1)).ok());
  bench.client.listed = nullptr;
  // It has announced itself, and died: this one takes the log over.
  bench.clock.now_ms += 25 * kSecond;
  REQUIRE_FALSE(bench.heir->Look().code() == Code::kFenced);
  bench.clock.now_ms += 25 * kSecond;
  REQUIRE(bench.heir->Look().ToString() == "OK");
  bench.Commit(1);
  REQUIRE(bench.heir->Append().ToString() == "OK");
  CHECK(packer.Run(&packed).ToString() == "OK");
}

TEST_CASE("an object that was overwritten is told and made good", "[fence]") {
  Unrefused bench;
  REQUIRE_FALSE(bench.heir->LastLookDue());
  bench.clock.now_ms += 16 * kSecond;
  REQUIRE(bench.heir->LastLookDue());
  std::string other = *bench.client.Get(LogKey(2));
  other.back() ^= 1;
  REQUIRE(bench.client.Put(LogKey(2), AsBytes(other)).ok());
  REQUIRE(bench.heir->Look().ToString() == "OK");
  REQUIRE(bench.logged.find("ERROR") != std::string::npos);
  REQUIRE_FALSE(bench.core.ship.restorable);
  REQUIRE(bench.core.ship.epoch == 2);
  REQUIRE(bench.core.ship.next_log_number == 4);
}

TEST_CASE("a store that stops refusing while it is written to is looked at", "[fence]") {
  Bench bench;
  bench.Commit(1);
  REQUIRE(bench.log.Append().ok());
  bench.client.store = LyingClient::kAnswers501;
  bench.Commit(2);
  REQUIRE(bench.log.Append().ToString() == "OK");
  REQUIRE(bench.logged.find("does not refuse") != std::string::npos);
  REQUIRE(bench.client.Get(kWriterKey).ok());
  bench.CheckLog();
}

TEST_CASE("a takeover of this process that is under way is no newer writer's", "[fence]") {
  Bench bench;
  bench.Commit(1);
  REQUIRE(bench.log.Append().ok());
  const uint64_t next = bench.core.ship.next_log_number;
  REQUIRE(Fence::NewerWriter(&bench.core).value() == 0);
  // The record arrives, its answer does not.
  bench.core.ship.writer_id = 0;
  bench.client.after = [] { return Status(Code::kUnavailable, "no answer", true); };
  bench.Commit(2);
  REQUIRE(bench.log.Append().code() == Code::kUnavailable);
  REQUIRE(bench.client.Get(LogKey(next)).ok());
  REQUIRE(bench.core.ship.next_log_number == next);
  REQUIRE(Fence::NewerWriter(&bench.core).value() == 0);
  // One that has the same number under another name is.
  const uint64_t own = std::exchange(bench.core.ship.writer_id, 77);
  REQUIRE(Fence::NewerWriter(&bench.core).value() == next);
  bench.core.ship.writer_id = own;
  bench.client.after = nullptr;
  REQUIRE(bench.log.Append().ok());
  REQUIRE(bench.core.ship.next_log_number > next);
  REQUIRE(Fence::NewerWriter(&bench.core).value() == 0);
}

}  // namespace backstay
