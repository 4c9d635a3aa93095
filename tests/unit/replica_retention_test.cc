// Retention: what goes, what stays, and that a removal may end anywhere.

#include <algorithm>
#include <set>

#include "tests/unit/replica_support.h"
#include "uploader/replica/retention.h"

namespace backstay {
namespace {

constexpr uint64_t kPacked = 9;  // log objects in the first pack

// Three snapshots with packed and single log objects around them, and a takeover.
struct History {
  History() : builder(folder.client.get(), 512, 12, 7) {
    Snapshot(0);
    Log(6);
    takeover = builder.next_number();
    builder.Takeover();
    builder.UnfinishedSnapshot();
    Log(4);
    builder.Pack(1, kPacked, true);
    Snapshot(1);
    Log(8);
    builder.Pack(kPacked + 1, builder.next_number() - 3, true);
    Snapshot(2);
    Log(5);
  }

  void Log(int objects) {
    for (int i = 0; i < objects; ++i) {
      builder.Commit(3);
      builder.Ship();
    }
  }
  void Snapshot(size_t i) {
    builder.Commit(3);
    builder.Ship();
    number[i] = builder.next_number();
    builder.Snapshot();
    time_ms[i] = builder.time_ms();
  }
  Result<RetentionPlan> Plan(int64_t keep_after_ms) {
    RetryOptions retry;
    retry.attempts = 1;
    ReplicaReader reader(folder.client.get(), retry);
    Result<Catalogue> catalogue = LoadCatalogue(reader, 2);
    REQUIRE(catalogue.ok());
    return PlanRetention(reader, *catalogue, keep_after_ms);
  }
  std::vector<std::string> Keys(int64_t keep_after_ms) {
    Result<RetentionPlan> plan = Plan(keep_after_ms);
    REQUIRE(plan.status().ToString() == "OK");
    std::vector<std::string> keys;
    for (const auto& batch : plan->batches) keys.insert(keys.end(), batch.begin(), batch.end());
    REQUIRE(keys.size() == plan->objects);
    return keys;
  }
  void Delete(const std::vector<std::string>& keys) { REQUIRE(folder.client->Delete(keys).ok()); }
  std::set<std::string> Objects() {
    std::set<std::string> keys;
    const Result<std::vector<ObjectInfo>> list = folder.client->List({});
    REQUIRE(list.ok());
    for (const ObjectInfo& info : *list) keys.insert(info.key);
    return keys;
  }
  // Every state of the window can be had, by transaction and by time.
  void CheckWindow(int64_t keep_after_ms) {
    CheckModel(builder, RestoreFrom(folder.client.get(), Latest()));
    for (uint64_t txid : builder.points()) {
      const int64_t time = builder.versions().at(txid).time_ms;
      if (time < keep_after_ms) continue;
      const Restored restored = RestoreFrom(folder.client.get(), AtTxid(txid));
      CheckModel(builder, restored);
      REQUIRE(restored.outcome.plan.txid == txid);
      CheckModel(builder, RestoreFrom(folder.client.get(), AtTime(time)));
    }
    CheckModel(builder, RestoreFrom(folder.client.get(), AtTime(keep_after_ms)));
  }
  // A snapshot that is named has all its frames, so that nobody begins to restore half of one.
  void CheckNamedSnapshots() {
    const std::set<std::string> objects = Objects();
    for (uint64_t each : number) {
      if (!objects.contains(SnapshotManifestKey(each))) continue;
      Result<SnapshotManifest> manifest =
          ParseSnapshotManifest(AsBytes(builder.Read(SnapshotManifestKey(each))));
      REQUIRE(manifest.ok());
      for (uint32_t i = 0; i < manifest->frame_bytes.size(); ++i) {
        REQUIRE(objects.contains(SnapshotFrameKey(each, manifest->nonce, i)));
      }
    }
  }
  void RequireRefused(int64_t keep_after_ms, const std::string& what) {
    Result<RetentionPlan> plan = Plan(keep_after_ms);
    REQUIRE(plan.status().code() == Code::kCorrupt);
    INFO(plan.status().message());
    REQUIRE(plan.status().message().find(what) != std::string::npos);
    REQUIRE(plan.status().message().find("nothing is deleted") != std::string::npos);
  }

  Folder folder;
  ReplicaBuilder builder;
  uint64_t takeover = 0;    // log number
  uint64_t number[3] = {};  // of the snapshots
  int64_t time_ms[3] = {};
};

}  // namespace

TEST_CASE("retention keeps every state of the window", "[replica]") {
  History history;
  const size_t base = GENERATE(size_t{0}, size_t{1}, size_t{2});
  const int64_t delta = GENERATE(0, 1);
  const int64_t keep_after = history.time_ms[base] + delta;
  Result<RetentionPlan> plan = history.Plan(keep_after);
  REQUIRE(plan.ok());
  REQUIRE(plan->base->next_log_number == history.number[base]);
  if (base == 2) REQUIRE(!plan->next_ms);
  if (base != 2) REQUIRE(plan->next_ms == history.time_ms[base + 1]);
  history.Delete(history.Keys(keep_after));
  history.CheckWindow(keep_after);
  const std::set<std::string> left = history.Objects();
  for (size_t i = 0; i < 3; ++i) {
    REQUIRE(left.contains(SnapshotManifestKey(history.number[i])) == (i >= base));
  }
  // The newest pack and the takeover tell a stale writer where the log is.
  REQUIRE(left.contains(PackKey(1, kPacked)) == (base == 0));
  REQUIRE(std::any_of(left.begin(), left.end(),
                      [](const std::string& key) { return key.starts_with("pack/"); }));
  REQUIRE(left.contains(LogKey(history.takeover)));
  REQUIRE(history.Keys(keep_after).empty());
}

TEST_CASE("nothing goes before a snapshot is old enough", "[replica]") {
  History history;
  Result<RetentionPlan> plan = history.Plan(history.time_ms[0] - 1);
  REQUIRE(plan.ok());
  REQUIRE(!plan->base);
  REQUIRE(plan->objects == 0);
  REQUIRE(plan->next_ms == history.time_ms[0]);
}

TEST_CASE("a removal may end anywhere, and the next one ends it", "[replica][long]") {
  size_t total = 1;
  std::set<std::string> whole;
  for (size_t cut = 0; cut <= total; ++cut) {
    History history;
    const int64_t keep_after = history.time_ms[2];
    std::vector<std::string> keys = history.Keys(keep_after);
    total = keys.size();
    keys.resize(std::min(keys.size(), cut));
    history.Delete(keys);
    history.CheckNamedSnapshots();
    history.CheckWindow(keep_after);
    history.Delete(history.Keys(keep_after));
    history.CheckWindow(keep_after);
    if (cut == 0) whole = history.Objects();
    REQUIRE(history.Objects() == whole);
  }
  REQUIRE(total >= 6);
}

TEST_CASE("what a dead packer left goes with its pack", "[replica]") {
  History history;
  Result<std::string> segments =
      history.folder.client->Get(LogKey(history.builder.next_number() - 1));
  for (uint64_t number : {3, 5}) history.builder.Write(LogKey(number), *segments);
  const std::vector<std::string> keys = history.Keys(history.time_ms[1]);
  const auto at = [&](const std::string& key) { return std::find(keys.begin(), keys.end(), key); };
  REQUIRE(at(LogKey(3)) < at(PackKey(1, kPacked)));
  REQUIRE(at(LogKey(5)) < at(PackKey(1, kPacked)));
  REQUIRE(at(PackKey(1, kPacked)) != keys.end());
  REQUIRE(at(LogKey(history.takeover)) == keys.end());
}

TEST_CASE("what was never packed goes, too, below the newest pack", "[replica]") {
  Folder folder;
  ReplicaBuilder builder(folder.client.get(), 512, 12, 7);
  const auto ship = [&](int objects) {
    for (int i = 0; i < objects; ++i) builder.Commit(3), builder.Ship();
  };
  builder.Snapshot();
  ship(3);
  const uint64_t takeover = builder.next_number();
  builder.Takeover();
  const uint64_t first = builder.next_number();
  ship(4);
  const bool packed = GENERATE(true, false);
  if (packed) builder.Pack(first, first + 3, true);
  ship(2);
  builder.Snapshot();
  RetryOptions once;
  once.attempts = 1;
  ReplicaReader reader(folder.client.get(), once);
  Result<Catalogue> catalogue = LoadCatalogue(reader, 2);
  REQUIRE(catalogue.ok());
  Result<RetentionPlan> plan = PlanRetention(reader, *catalogue, builder.time_ms());
  REQUIRE(plan.ok());
  std::set<std::string> keys;
  for (const auto& batch : plan->batches) keys.insert(batch.begin(), batch.end());
  for (uint64_t number = 1; number < takeover; ++number) {
    CHECK(keys.contains(LogKey(number)) == packed);
  }
  CHECK(!keys.contains(LogKey(takeover)));
  CHECK(!keys.contains(PackKey(first, first + 3)));
  CHECK(!keys.contains(LogKey(first + 4)));
}

TEST_CASE("a restore whose snapshot is deleted under it looks again", "[replica]") {
  History history;
  const uint64_t txid = *history.builder.points().begin();
  HookedClient client(history.folder.client.get());
  const std::string old = SnapshotManifestKey(history.number[0]).substr(0, 25);
  bool deleted = false;
  client.before_get = [&](const std::string& key) {
    if (!deleted && key.starts_with(old) && !key.ends_with("manifest")) {
      deleted = true;
      history.Delete(history.Keys(history.time_ms[1]));
    }
    return Status::Ok();
  };
  const Restored restored = RestoreFrom(&client, AtTxid(txid), 1);
  REQUIRE(deleted);
  INFO(restored.status.message());
  REQUIRE(restored.status.code() == Code::kNotFound);
  CheckModel(history.builder, RestoreFrom(&client, Latest()));
}

TEST_CASE("unusable snapshots before the base go, later ones stay", "[replica]") {
  History history;
  history.builder.UnfinishedSnapshot();
  history.builder.Write(SnapshotManifestKey(history.number[0]), "rubbish");
  history.Delete(history.Keys(history.time_ms[1]));
  const std::set<std::string> left = history.Objects();
  std::set<std::string> folders;
  for (const std::string& key : left) {
    if (key.starts_with("snapshot/")) folders.insert(key.substr(0, 25));
  }
  REQUIRE(folders.size() == 3);
  REQUIRE(*folders.begin() == SnapshotManifestKey(history.number[1]).substr(0, 25));
}

TEST_CASE("nothing goes when what replaces it is damaged", "[replica]") {
  History history;
  const int64_t keep_after = history.time_ms[2];
  std::string frame;
  for (const std::string& key : history.Objects()) {
    const std::string folder = SnapshotManifestKey(history.number[2]).substr(0, 25);
    if (key.starts_with(folder) && !key.ends_with("manifest")) frame = key;
  }
  SECTION("a frame of the snapshot is missing") {
    history.Delete({frame});
    history.RequireRefused(keep_after, frame + " is missing");
  }
  SECTION("a frame is cut short") {
    history.builder.Write(frame, "short");
    history.RequireRefused(keep_after, frame + " has a wrong size");
  }
  SECTION("the log behind it has a gap") {
    const std::string gap = LogKey(history.number[2] + 1);
    history.Log(6);
    history.Delete({gap});
    history.RequireRefused(keep_after, gap + " is missing");
  }
}

TEST_CASE("a gap that a newer snapshot has left behind is waited out", "[replica]") {
  History history;
  for (const std::string& key : history.Objects()) {
    const auto range = ParsePackKey(key);
    if (range && range->first == kPacked + 1) history.Delete({key});
  }
  SECTION("but not one behind the newest snapshot, which nothing has left behind") {
    const std::string second = LogKey(history.number[2] + 1);
    history.Log(6);
    history.Delete({second});
    history.RequireRefused(history.time_ms[0], second + " is missing");
    return;
  }
  Result<RetentionPlan> plan = history.Plan(history.time_ms[0]);
  REQUIRE(plan.ok());
  REQUIRE(plan->gap);
  CHECK(plan->gap->first == kPacked + 1);
  CHECK(plan->gap->to_ms == history.time_ms[1]);
  CHECK(plan->objects == 0);
  CHECK(plan->batches.empty());
  CHECK(plan->next_ms == history.time_ms[1]);
}

TEST_CASE("a gap is told with the states that it costs", "[replica]") {
  Folder folder;
  ReplicaBuilder builder(folder.client.get(), 512, 12, 7);
  const auto ship = [&] { builder.Commit(3), builder.Ship(); };
  builder.Snapshot();
  ship();
  const int64_t from = builder.time_ms();
  const uint64_t txid = *builder.points().rbegin();
  const uint64_t lost = builder.next_number();
  ship(), ship(), ship();
  const uint64_t next = builder.next_number();
  builder.Snapshot();
  const int64_t to = builder.time_ms();
  ship();
  REQUIRE(folder.client->Delete({LogKey(lost), LogKey(lost + 1)}).ok());
  RetryOptions once;
  once.attempts = 1;
  ReplicaReader reader(folder.client.get(), once);
  Result<Catalogue> catalogue = LoadCatalogue(reader, 2);
  REQUIRE(catalogue.ok());
  Result<std::optional<LogGap>> gap = LookAtGap(reader, *catalogue, lost);
  REQUIRE(gap.ok());
  REQUIRE(*gap);
  CHECK((*gap)->first == lost);
  CHECK((*gap)->last == lost + 1);
  CHECK((*gap)->from_ms == from);
  CHECK((*gap)->to_ms == to);
  // What it says is so.
  CheckModel(builder, RestoreFrom(folder.client.get(), AtTxid(txid)));
  CHECK(!RestoreFrom(folder.client.get(), AtTxid(txid + 1)).status.ok());
  CHECK(!RestoreFrom(folder.client.get(), AtTime(to - 1)).status.ok());
  CheckModel(builder, RestoreFrom(folder.client.get(), AtTime(to)));
  gap = LookAtGap(reader, *catalogue, next);
  REQUIRE(gap.ok());
  CHECK(!*gap);
}

TEST_CASE("a snapshot that a wrong clock dated into the past is no older than those before it",
          "[replica]") {
  History history;
  Result<SnapshotManifest> manifest =
      ParseSnapshotManifest(AsBytes(history.builder.Read(SnapshotManifestKey(history.number[2]))));
  REQUIRE(manifest.ok());
  manifest->consistent_time_ms = 1000;
  history.builder.Write(SnapshotManifestKey(history.number[2]), *EncodeSnapshotManifest(*manifest));
  Result<RetentionPlan> plan = history.Plan(history.time_ms[0]);
  REQUIRE(plan.ok());
  REQUIRE(plan->base->next_log_number == history.number[0]);
  REQUIRE(history.Plan(2000)->objects == 0);
}

}  // namespace backstay
