// A restore that was interrupted, or overtaken, goes on with what it has, and believes none of it.
#include <atomic>
#include <string>

#include "tests/unit/replica_support.h"

namespace backstay {
namespace {

constexpr uint32_t kPageSize = 512;
constexpr uint32_t kPages = 20000;  // in three frames

class Interrupted {
 public:
  Interrupted() : client(folder.client.get()), builder(folder.client.get(), kPageSize, kPages, 5) {
    builder.Snapshot();
    builder.Commit(5);
    builder.Ship();
  }

  Status Restore(bool holds_pages) {
    RetryOptions retry;
    retry.sleep = [](int64_t) {};
    retry.attempts = 2;
    RestoreOptions options;
    options.replay.holds_pages = holds_pages;
    options.replay.found = [this](uint64_t bytes) { found = bytes; };
    const uint64_t before = client.Counters().bytes_received;
    Result<RestoreOutcome> outcome = RestoreInto(ReplicaReader(&client, retry), options, &store);
    received = client.Counters().bytes_received - before;
    if (outcome.ok()) CheckModel(builder, {Status::Ok(), store.bytes(), std::move(*outcome)});
    return outcome.status();
  }

  Folder folder;
  HookedClient client;
  ReplicaBuilder builder;
  MemoryPageStore store;
  uint64_t received = 0;  // bytes, of the last restore
  std::atomic<uint64_t> found{0};
};

bool IsFrame(const std::string& key, const std::string& index) {
  return key.starts_with("snapshot/") && key.ends_with("-0000000" + index);
}

}  // namespace

TEST_CASE("an interrupted restore goes on where it was, and believes nothing", "[replica]") {
  Interrupted world;
  REQUIRE(world.Restore(false).ok());
  const uint64_t whole = world.received;
  REQUIRE(world.store.Truncate(0).ok());
  world.client.before_get = [](const std::string& key) {
    return IsFrame(key, "2") ? Status(Code::kUnavailable, "the network is gone") : Status::Ok();
  };
  REQUIRE(world.Restore(false).code() == Code::kUnavailable);
  world.client.before_get = nullptr;
  SECTION("only what is missing is fetched") {
    REQUIRE(world.Restore(true).ok());
    CHECK(world.received < whole / 2);
    CHECK(world.found > whole / 2);
  }
  SECTION("a page that is not right is fetched again with its frame") {
    const std::string rubbish(kPageSize, 'x');
    REQUIRE(world.store.Write(7 * kPageSize, AsBytes(rubbish)).ok());
    REQUIRE(world.Restore(true).ok());
    CHECK(world.received > whole / 2);
    CHECK(world.received < whole);
  }
  SECTION("what lies behind the database is cut off") {
    const std::string rubbish(kPageSize, 'x');
    REQUIRE(world.store.Write(uint64_t{kPages + 9} * kPageSize, AsBytes(rubbish)).ok());
    REQUIRE(world.Restore(true).ok());
  }
  SECTION("of a later snapshot, too") {
    world.builder.Commit(5);
    world.builder.Ship();
    world.builder.Snapshot();
    REQUIRE(world.Restore(true).ok());
  }
}

TEST_CASE("a restore is overtaken as often as the replica moves on", "[replica]") {
  Interrupted world;
  int times = 0;
  world.client.before_get = [&](const std::string& key) -> Status {
    if (!IsFrame(key, "2") || times == 20) return Status::Ok();
    if (++times % 2 == 0) {  // the second try of each plan
      world.builder.Commit(1);
      world.builder.Ship();
    }
    return {Code::kUnavailable, "moved", true};
  };
  REQUIRE(world.Restore(false).ok());
  CHECK(times == 20);
}

TEST_CASE("a replica that stands still and is stale all the same is given up", "[replica]") {
  Interrupted world;
  int times = 0;
  world.client.before_get = [&](const std::string& key) -> Status {
    if (!IsFrame(key, "2")) return Status::Ok();
    ++times;
    return {Code::kUnavailable, "moved", true};
  };
  REQUIRE(world.Restore(false).code() == Code::kUnavailable);
  CHECK(times == 2 * kMaxLooks);
}

}  // namespace backstay
