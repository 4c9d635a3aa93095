// The log as one sequence: packs, takeovers, gaps, and listings that lag or go stale.

#include <algorithm>

#include "tests/unit/replica_support.h"
#include "uploader/replica/log_rest.h"
#include "uploader/replica/sound_state.h"

namespace backstay {
namespace {

// A snapshot, then `objects` log objects of one transaction each, from number 1 on.
struct Log {
  explicit Log(int objects, uint32_t seed = 1) : builder(folder.client.get(), 512, 12, seed) {
    builder.Snapshot();
    Add(objects);
  }
  void Add(int objects) {
    for (int i = 0; i < objects; ++i) {
      builder.Commit(3);
      builder.Ship();
    }
  }
  void Delete(uint64_t number) { REQUIRE(folder.client->Delete({LogKey(number)}).ok()); }
  Restored Latest() { return RestoreFrom(folder.client.get(), backstay::Latest()); }
  void CheckLatest() {
    Restored restored = Latest();
    CheckModel(builder, restored);
    REQUIRE(restored.outcome.plan.txid == builder.txid());
  }

  Folder folder;
  ReplicaBuilder builder;
};

}  // namespace

TEST_CASE("packs and singles may overlap in every way", "[replica][long]") {
  Log log(12);
  SECTION("a pack beside its singles") { log.builder.Pack(2, 8, false); }
  SECTION("two packs of two packers") {
    log.builder.Pack(1, 6, false);
    log.builder.Pack(4, 9, false);
    log.builder.Pack(1, 9, false);
    for (uint64_t i = 1; i <= 9; ++i) log.Delete(i);
  }
  SECTION("some singles deleted") {
    log.builder.Pack(3, 7, false);
    log.Delete(3);
    log.Delete(5);
  }
  SECTION("a single that a pack covers is ignored") {
    log.builder.Pack(3, 7, true);
    log.builder.Write(LogKey(5), log.builder.Read(LogKey(9)));
    log.builder.Write(LogKey(6), "rubbish");
  }
  SECTION("a pack longer than its 64 KiB tail") {
    log.Add(5000);
    log.builder.Pack(1, 5010, true);
    REQUIRE(log.builder.Read(PackKey(1, 5010)).size() > kPackTailBytes);
  }
  log.CheckLatest();
}

TEST_CASE("a damaged pack is made up for by what else holds its objects", "[replica]") {
  Log log(10);
  log.builder.Pack(2, 6, false);
  const std::string key = PackKey(2, 6);
  std::string pack = log.builder.Read(key);
  const bool index = GENERATE(true, false);
  pack[index ? pack.size() - 20 : 60] ^= 1;
  log.builder.Write(key, pack);
  SECTION("by the singles") { log.CheckLatest(); }
  SECTION("by another pack") {
    log.builder.Pack(3, 8, false);
    for (uint64_t i = 3; i <= 8; ++i) log.Delete(i);
    log.CheckLatest();
  }
  SECTION("by nothing: damage, and what is before it can be had") {
    for (uint64_t i = 2; i <= 6; ++i) log.Delete(i);
    REQUIRE(log.Latest().status.code() == Code::kCorrupt);
    CheckModel(log.builder, RestoreFrom(log.folder.client.get(), AtTxid(1)));
  }
}

TEST_CASE("a pack of another database is damage, whatever is in it", "[replica]") {
  Log log(10);
  PackWriter writer(DatabaseId{1, 2, 3});
  for (uint64_t number = 2; number <= 6; ++number) {
    REQUIRE(writer.Add(AsBytes(log.builder.Read(LogKey(number))), number).ok());
  }
  log.builder.Write(PackKey(2, 6), writer.Finish());
  log.CheckLatest();
  for (uint64_t number = 2; number <= 6; ++number) log.Delete(number);
  const Restored latest = log.Latest();
  REQUIRE(latest.status.code() == Code::kCorrupt);
  REQUIRE(latest.status.message().find("of another database") != std::string::npos);
}

TEST_CASE("a gap ends what can be proven", "[replica]") {
  Log log(10);
  log.Delete(4);
  Restored latest = log.Latest();
  REQUIRE(latest.status.code() == Code::kCorrupt);
  REQUIRE(latest.status.message().find("log/0000000000000004 is missing") != std::string::npos);
  REQUIRE(latest.status.message().find("-txid 3") != std::string::npos);
  CheckModel(log.builder, RestoreFrom(log.folder.client.get(), AtTxid(3)));
  REQUIRE(RestoreFrom(log.folder.client.get(), AtTxid(4)).status.code() == Code::kCorrupt);
  const int64_t time_ms = log.builder.time_ms();
  REQUIRE(RestoreFrom(log.folder.client.get(), AtTime(time_ms)).status.code() == Code::kCorrupt);
  const int64_t before_ms = log.builder.versions().at(2).time_ms;
  CheckModel(log.builder, RestoreFrom(log.folder.client.get(), AtTime(before_ms)));

  SECTION("a later snapshot heals it") {
    log.builder.Snapshot();
    log.Add(2);
    log.CheckLatest();
    CheckModel(log.builder, RestoreFrom(log.folder.client.get(), AtTxid(3)));
    REQUIRE(RestoreFrom(log.folder.client.get(), AtTxid(5)).status.code() == Code::kCorrupt);
  }
  SECTION("a pack behind a gap is damage however near") {
    log.Delete(5);
    log.builder.Pack(6, 7, true);
    for (uint64_t i = 8; i <= 10; ++i) log.Delete(i);
    REQUIRE(log.Latest().status.code() == Code::kCorrupt);
  }
}

TEST_CASE("what is sound of a damaged log, and where it goes on", "[replica]") {
  Log log(10);
  const uint64_t damaged = GENERATE(4, 10);
  const bool packed = GENERATE(false, true);
  const bool deleted = GENERATE(false, true);
  if (packed) log.builder.Pack(2, 10, true);
  const std::string key = packed ? PackKey(2, 10) : LogKey(damaged);
  std::string body = log.builder.Read(key);
  // Of a pack, somewhere in the middle; its index stays.
  body[body.size() / 2 - (packed ? 200 : 0)] ^= 1;
  if (packed || !deleted) log.builder.Write(key, body);
  if (!packed && deleted) log.Delete(damaged);
  RetryOptions retry;
  retry.attempts = 1;
  const ReplicaReader reader(log.folder.client.get(), retry);
  Result<RestorePoint> sound = LastSoundState(reader, {});
  REQUIRE(sound.ok());
  CheckModel(log.builder, RestoreFrom(log.folder.client.get(), AtTxid(sound->txid)));
  // An end that is gone leaves no trace.
  const bool end = !packed && damaged == 10;
  if (!packed) REQUIRE(sound->txid == damaged - 1);
  if (packed) REQUIRE(log.Latest().status.code() == Code::kCorrupt);
  if (packed) REQUIRE(sound->txid < 10);
  Result<Catalogue> catalogue = LoadCatalogue(reader, 1);
  REQUIRE(catalogue.ok());
  Result<LogRest> rest = RestOfLog(reader, *catalogue);
  REQUIRE(rest.ok());
  REQUIRE(rest->next_number == (end && deleted ? 10 : 11));
  REQUIRE(rest->txid == (end ? 9 : 10));
  REQUIRE(rest->segment_number == (end ? 9 : 10));
  REQUIRE((rest->segment_hash == 0) == packed);
  REQUIRE(rest->epoch == 1);
}

TEST_CASE("one object behind a gap proves that one is lost", "[replica]") {
  Log log(5);
  log.builder.SkipNumber();
  log.CheckLatest();
  log.Add(1);
  REQUIRE(log.Latest().status.code() == Code::kCorrupt);
  CheckModel(log.builder, RestoreFrom(log.folder.client.get(), AtTxid(5)));
}

TEST_CASE("void objects count for nothing, behind a gap too", "[replica]") {
  Log log(4);
  log.builder.Takeover();
  log.builder.PutVoid();
  log.Add(2);
  log.CheckLatest();
  log.builder.Takeover();
  log.builder.SkipNumber();
  for (int i = 0; i < 6; ++i) log.builder.PutVoid();
  Restored restored = log.Latest();
  CheckModel(log.builder, restored);
  REQUIRE(restored.outcome.plan.txid == log.builder.txid());
  REQUIRE(restored.outcome.plan.Told().empty());
  REQUIRE(restored.outcome.plan.at_end);
}

TEST_CASE("the end of the log is found though LIST lags", "[replica]") {
  Log log(8);
  HookedClient hooked(log.folder.client.get());
  const uint64_t hidden_from = GENERATE(1, 3, 6, 8);
  hooked.after_list = [&](std::vector<ObjectInfo>* list) {
    std::erase_if(*list, [&](const ObjectInfo& info) {
      auto number = ParseLogKey(info.key);
      return number && *number >= hidden_from && *number != 7;
    });
  };
  Restored restored = RestoreFrom(&hooked, Latest());
  CheckModel(log.builder, restored);
  REQUIRE(restored.outcome.plan.txid == log.builder.txid());
}

TEST_CASE("packing during a restore is followed", "[replica]") {
  Log log(8);
  HookedClient hooked(log.folder.client.get());
  const std::string trigger = GENERATE(as<std::string>(), "log/", "snapshot/");
  const uint64_t keep_bytes = GENERATE(uint64_t{0}, uint64_t{1} << 20);
  std::mutex mutex;
  int gets = 0;
  bool packed = false;
  hooked.before_get = [&](const std::string& key) {
    std::lock_guard lock(mutex);
    const bool frame = key.find('-') != std::string::npos;
    if (packed || key.rfind(trigger, 0) != 0 || (trigger == "snapshot/" && !frame)) {
      return Status::Ok();
    }
    if (trigger == "log/" && ++gets < 3) return Status::Ok();
    packed = true;
    log.builder.Pack(1, 6, true);
    return Status::Ok();
  };
  Restored restored = RestoreFrom(&hooked, Latest(), 2, keep_bytes);
  REQUIRE(packed);
  CheckModel(log.builder, restored);
  REQUIRE(restored.outcome.plan.txid == log.builder.txid());
}

TEST_CASE("an unusable snapshot gives way to an older one, or the restore fails", "[replica]") {
  Log log(3);
  log.builder.Snapshot();
  log.Add(3);
  const std::string manifest = SnapshotManifestKey(4);
  Result<SnapshotManifest> parsed = ParseSnapshotManifest(AsBytes(log.builder.Read(manifest)));
  REQUIRE(parsed.ok());
  const std::string frame = SnapshotFrameKey(4, parsed->nonce, 0);
  SECTION("frame missing") { REQUIRE(log.folder.client->Delete({frame}).ok()); }
  SECTION("frame damaged") { log.builder.Write(frame, "rubbish"); }
  SECTION("manifest damaged") { log.builder.Write(manifest, "rubbish"); }
  SECTION("manifest of another snapshot") {
    log.builder.Write(manifest, log.builder.Read(SnapshotManifestKey(1)));
  }
  Restored restored = log.Latest();
  CheckModel(log.builder, restored);
  REQUIRE(restored.outcome.plan.txid == log.builder.txid());
  REQUIRE_FALSE(restored.outcome.plan.damages.empty());
  log.Delete(2);
  REQUIRE(log.Latest().status.code() == Code::kCorrupt);
}

TEST_CASE("a log that ends before what a snapshot holds is damaged", "[replica]") {
  Log log(6);
  log.builder.StartSnapshot();
  log.builder.Commit(2);
  log.builder.FinishSnapshot();
  log.Delete(7);
  REQUIRE(log.Latest().status.code() == Code::kCorrupt);
  CheckModel(log.builder, RestoreFrom(log.folder.client.get(), AtTxid(6)));
}

TEST_CASE("objects of a newer version are refused, not skipped", "[replica]") {
  Log log(6);
  SECTION("single") {
    std::string object = log.builder.Read(LogKey(6));
    object[4] = 3;
    log.builder.Write(LogKey(6), object);
  }
  SECTION("snapshot") {
    std::string manifest = log.builder.Read(SnapshotManifestKey(1));
    manifest[4] = 3;
    log.builder.Write(SnapshotManifestKey(1), manifest);
  }
  SECTION("pack") {
    log.builder.Pack(1, 6, true);
    std::string pack = log.builder.Read(PackKey(1, 6));
    pack[pack.size() - 4 - 8 - 1] = 3;
    log.builder.Write(PackKey(1, 6), pack);
  }
  Restored restored = log.Latest();
  REQUIRE(restored.status.code() == Code::kNewer);
}

// On a store that does not refuse to create what exists.
TEST_CASE("the last object of a writer that was overtaken may lie over the takeover", "[replica]") {
  Log log(3);
  const uint64_t number = log.builder.next_number();
  ReplicaBuilder other = log.builder;
  other.Commit(2);
  REQUIRE(other.Ship() == number);
  const std::string last = log.builder.Read(LogKey(number));
  log.builder.Takeover();
  log.Add(4);
  log.builder.Write(LogKey(number), last);
  SECTION("as itself") { log.CheckLatest(); }
  SECTION("in a pack") {
    log.builder.Pack(1, number + 2, true);
    log.CheckLatest();
  }
}

}  // namespace backstay
