// What a restore asks for at the same time, and what it does about a guess that was wrong; and that
// the disk begins with a file that stays before all of it has come.
#include <fcntl.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>

#include "tests/unit/replica_support.h"

namespace {

// Counted in place of libc's.
std::atomic<int64_t> begun{0};  // bytes that the disk was told to begin with

}  // namespace

extern "C" int sync_file_range(int, off64_t, off64_t count, unsigned flags) {
  if (flags == SYNC_FILE_RANGE_WRITE) begun += count;
  return 0;
}

namespace backstay {
namespace {

constexpr uint32_t kPageSize = 512;
constexpr uint32_t kPages = 20000;  // in three frames

// Who comes first waits for the others: done one after the other, it would never end.
class Meeting {
 public:
  explicit Meeting(std::set<std::string> awaited) : awaited_(std::move(awaited)) {}

  Status Come(const std::string& name) {
    std::unique_lock lock(mutex_);
    if (awaited_.erase(name) == 0) return Status::Ok();
    arrived_.notify_all();
    const bool all =
        arrived_.wait_for(lock, std::chrono::seconds(20), [this] { return awaited_.empty(); });
    return all ? Status::Ok() : Status(Code::kDenied, name + " is alone");
  }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::set<std::string> awaited_;
};

bool IsFrame(const std::string& key) {
  return key.starts_with("snapshot/") && !key.ends_with("/manifest");
}

struct World {
  World() : client(folder.client.get()), builder(folder.client.get(), kPageSize, kPages, 5) {
    builder.Snapshot();
    builder.Commit(5);
    builder.Ship();
    client.before_get = [this](const std::string& key) {
      if (IsFrame(key)) frame_gets++;
      return get ? get(key) : Status::Ok();
    };
  }

  Restored Restore(const RestoreTarget& target = {}) {
    RetryOptions retry;
    retry.sleep = [](int64_t) {};
    FramesAhead ahead(&client, {});
    RestoreOptions options;
    options.target = target;
    options.replay.ahead = &ahead;
    MemoryPageStore store;
    Result<RestoreOutcome> outcome = RestoreInto(ReplicaReader(&client, retry), options, &store);
    Restored restored{outcome.status(), store.bytes(), {}};
    if (outcome.ok()) restored.outcome = std::move(*outcome);
    return restored;
  }

  Folder folder;
  HookedClient client;
  ReplicaBuilder builder;
  std::function<Status(const std::string& key)> get;
  std::atomic<int> frame_gets{0};
};

}  // namespace

TEST_CASE("frames are fetched while the log is listed and read", "[replica]") {
  World world;
  std::string awaited;
  SECTION("while the packs are listed") { awaited = "pack/"; }
  SECTION("while the log is read") { awaited = LogKey(world.builder.next_number() - 1); }
  SECTION("while its end is looked for") { awaited = LogKey(world.builder.next_number()); }
  Meeting meeting({awaited, "a frame"});
  world.get = [&](const std::string& key) { return meeting.Come(IsFrame(key) ? "a frame" : key); };
  world.client.before_list = [&](const ListOptions& list) { return meeting.Come(list.prefix); };
  CheckModel(world.builder, world.Restore());
  // Each once.
  CHECK(world.frame_gets == 3);
}

TEST_CASE("what does not need the other's answer is asked for at the same time", "[replica]") {
  World world;
  Meeting first({kIdentityKey, "snapshot/"});
  Meeting second({"log/", "a manifest"});
  world.get = [&](const std::string& key) {
    BACKSTAY_TRY(first.Come(key));
    return key.ends_with("/manifest") ? second.Come("a manifest") : Status::Ok();
  };
  world.client.before_list = [&](const ListOptions& list) {
    BACKSTAY_TRY(first.Come(list.prefix));
    return second.Come(list.prefix);
  };
  CheckModel(world.builder, world.Restore());
}

TEST_CASE("a frame that failed ahead is asked for again", "[replica]") {
  World world;
  std::atomic<int> failed{0};
  SECTION("each once") {
    std::mutex mutex;
    std::set<std::string> seen;
    world.get = [&](const std::string& key) {
      std::lock_guard lock(mutex);
      if (!IsFrame(key) || !seen.insert(key).second) return Status::Ok();
      ++failed;
      return Status(Code::kUnavailable, "the network is gone", true);
    };
    CheckModel(world.builder, world.Restore());
    CHECK(failed == 3);
    CHECK(world.frame_gets == 6);
  }
  SECTION("and its error is the restore's") {
    world.get = [&](const std::string& key) {
      return IsFrame(key) ? Status(Code::kDenied, "not yours") : Status::Ok();
    };
    CHECK(world.Restore().status.ToString() == Status(Code::kDenied, "not yours").ToString());
  }
}

TEST_CASE("a snapshot that does not lead there is left, whatever was fetched of it", "[replica]") {
  World world;
  const uint64_t before = world.builder.txid();
  world.builder.Snapshot();
  SECTION("its frame is damaged") {
    auto objects = world.folder.client->List({.prefix = "snapshot/"});
    REQUIRE(objects.ok());
    std::string frame;
    for (const ObjectInfo& object : *objects) {
      if (IsFrame(object.key)) frame = object.key;
    }
    std::string body = world.builder.Read(frame);
    body[body.size() / 2] ^= 1;
    world.builder.Write(frame, body);
    Restored restored = world.Restore();
    CheckModel(world.builder, restored);
    CHECK(restored.outcome.plan.damages.size() == 1);
  }
  SECTION("it is newer than what is asked for") {
    world.builder.Commit(3);
    world.builder.Ship();
    world.builder.Snapshot();
    Restored restored = world.Restore(AtTxid(before));
    CheckModel(world.builder, restored);
    CHECK(restored.outcome.plan.txid == before);
    // None of the newest.
    CHECK(world.frame_gets == 3);
  }
}

TEST_CASE("one request at a time: the second is not begun when the first fails", "[replica]") {
  World world;
  std::atomic<int> lists{0};
  world.get = [](const std::string&) { return Status(Code::kDenied, "not yours"); };
  world.client.before_list = [&](const ListOptions&) {
    ++lists;
    return Status::Ok();
  };
  CHECK(LoadCatalogue(ReplicaReader(&world.client), 1).status().code() == Code::kDenied);
  CHECK(lists == 0);
}

TEST_CASE("the disk begins at once with what stays, and not with scratch", "[replica]") {
  World world;
  TempFolder folder;
  const auto restore = [&](FilePageStore::Use use) {
    Result<Fd> file = OpenFile(folder / "restored.db", O_RDWR | O_CREAT | O_TRUNC);
    REQUIRE(file.ok());
    FilePageStore store(*file, "restored.db", use);
    begun = 0;
    REQUIRE(RestoreInto(ReplicaReader(&world.client), {}, &store).ok());
    return begun.load();
  };
  CHECK(restore(FilePageStore::Use::kScratch) == 0);
  // All of the frames, but for what is too small to count.
  CHECK(restore(FilePageStore::Use::kStays) >= int64_t{kPages - 2048} * kPageSize);
}

}  // namespace backstay
