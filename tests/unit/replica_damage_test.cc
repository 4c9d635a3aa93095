// Damage of every kind in every object: a restore gives the right database or none.

#include <algorithm>
#include <fstream>

#include "tests/support/each_nth.h"
#include "tests/unit/replica_support.h"

namespace backstay {
namespace {

// The restored state, if there is one, is what the model had at that transaction.
void CheckRightOrNone(const ReplicaBuilder& builder, const RestoreTarget& target, int* refused) {
  Restored restored = RestoreFrom(builder.client(), target, 1);
  if (!restored.status.ok()) {
    ++*refused;
    return;
  }
  const auto version = builder.versions().find(restored.outcome.plan.txid);
  REQUIRE(version != builder.versions().end());
  REQUIRE((restored.database == version->second.database));
  if (target.kind == RestoreTarget::Kind::kLatest) {
    REQUIRE(restored.outcome.plan.txid == builder.txid());
  }
}

// Writes in place, without the fsyncs of a PUT.
void Overwrite(const std::string& path, const std::string& body) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << body;
}

// Small, with every kind of object: singles, a takeover, a pack, two snapshots (one fuzzy).
struct Sample {
  explicit Sample(uint32_t seed) : builder(folder.client.get(), 512, 4, seed) {
    builder.Snapshot();
    for (int i = 0; i < 3; ++i) {
      builder.Commit(1);
      builder.Commit(1);
      builder.Ship();
    }
    builder.Pack(1, 3, true);
    builder.StartSnapshot();
    builder.Commit(2);
    builder.FinishSnapshot();
    builder.Takeover();
    builder.Commit(1);
    builder.ShipSplit();
    ListOptions all;
    Result<std::vector<ObjectInfo>> list = folder.client->List(all);
    REQUIRE(list.ok());
    for (const ObjectInfo& info : *list) keys.push_back(info.key);
  }

  Folder folder;
  ReplicaBuilder builder;
  std::vector<std::string> keys;
};

}  // namespace

TEST_CASE("no flipped bit anywhere leads to a wrong database", "[replica]") {
  Sample sample(21);
  uint32_t tried = 0;
  int refused = 0;
  for (const std::string& key : sample.keys) {
    const std::string good = sample.builder.Read(key);
    for (size_t i = 0; i < good.size(); i += EachNth()) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
      Overwrite(sample.folder.Path(key), bad);
      INFO(key << " byte " << i);
      CheckRightOrNone(sample.builder, Latest(), &refused);
      ++tried;
    }
    Overwrite(sample.folder.Path(key), good);
  }
  REQUIRE(tried * EachNth() > 1000);
  REQUIRE(static_cast<uint32_t>(refused) * EachNth() > 200);
  CheckModel(sample.builder, RestoreFrom(sample.folder.client.get(), Latest()));
}

TEST_CASE("no cut, extended, missing or swapped object leads to a wrong database", "[replica]") {
  Sample sample(22);
  int refused = 0;
  for (const std::string& key : sample.keys) {
    const std::string good = sample.builder.Read(key);
    const std::string path = sample.folder.Path(key);
    INFO(key);
    for (size_t size = 0; size < good.size(); size += 1 + good.size() / 40) {
      Overwrite(path, good.substr(0, size));
      CheckRightOrNone(sample.builder, Latest(), &refused);
    }
    Overwrite(path, good + "x");
    CheckRightOrNone(sample.builder, Latest(), &refused);
    for (const std::string& other : sample.keys) {
      if (other == key) continue;
      Overwrite(path, sample.builder.Read(other));
      INFO("holds " << other);
      CheckRightOrNone(sample.builder, Latest(), &refused);
      CheckRightOrNone(sample.builder, AtTxid(3), &refused);
    }
    Overwrite(path, good);
  }
  REQUIRE(refused > 50);
}

TEST_CASE("objects of another replica of the same shape are refused", "[replica]") {
  Sample sample(23);
  Sample other(24);
  int refused = 0;
  for (const std::string& key : sample.keys) {
    // Frames carry a nonce in their key, so the other replica's have other names.
    if (std::find(other.keys.begin(), other.keys.end(), key) == other.keys.end()) continue;
    const std::string good = sample.builder.Read(key);
    Overwrite(sample.folder.Path(key), other.builder.Read(key));
    INFO(key);
    CheckRightOrNone(sample.builder, Latest(), &refused);
    Overwrite(sample.folder.Path(key), good);
  }
  REQUIRE(refused > 3);
}

TEST_CASE("where all snapshots are of another database, backstay.json is named", "[replica]") {
  Sample sample(23);
  const std::string good = sample.builder.Read(kIdentityKey);
  Identity changed = *ParseIdentity(good);
  changed.id[0] ^= 1;
  sample.builder.Write(kIdentityKey, EncodeIdentity(changed));
  ReplicaReader reader(sample.folder.client.get());
  Result<Catalogue> catalogue = LoadCatalogue(reader, 1);
  REQUIRE(catalogue.ok());
  REQUIRE_FALSE(catalogue->damaged_snapshots.empty());
  CHECK_THAT(catalogue->damaged_snapshots.front().status.message(),
             Catch::Contains("backstay.json was changed: put an older version of it back"));
}

TEST_CASE("a frame of an older snapshot does not pass for a newer one's", "[replica]") {
  Folder folder;
  ReplicaBuilder builder(folder.client.get(), 512, 12, 25);
  builder.Snapshot();
  // The same length of frame: the state changes, the compressed size does not.
  builder.CommitDatabase(std::string(512 * 12, 'a'));
  builder.Snapshot();
  builder.CommitDatabase(std::string(512 * 12, 'b'));
  builder.Snapshot();
  ReplicaReader reader(folder.client.get());
  Result<Catalogue> catalogue = LoadCatalogue(reader, 1);
  REQUIRE(catalogue.ok());
  const SnapshotManifest& older = catalogue->snapshots[1];
  const SnapshotManifest& newer = catalogue->snapshots[2];
  REQUIRE(older.frame_bytes == newer.frame_bytes);
  builder.Write(SnapshotFrameKey(newer.next_log_number, newer.nonce, 0),
                builder.Read(SnapshotFrameKey(older.next_log_number, older.nonce, 0)));
  int refused = 0;
  CheckRightOrNone(builder, Latest(), &refused);
}

TEST_CASE("the database checksum finds what every other hash lets pass", "[replica]") {
  Folder folder;
  ReplicaBuilder builder(folder.client.get(), 512, 12, 26);
  builder.Snapshot();
  // A page of the snapshot is wrong, with hashes made for it; the log does not touch it.
  const std::string key = SnapshotManifestKey(1);
  SnapshotManifest manifest = *ParseSnapshotManifest(AsBytes(builder.Read(key)));
  const std::string frame_key = SnapshotFrameKey(1, manifest.nonce, 0);
  std::string images = DecodeSnapshotFrame(AsBytes(builder.Read(frame_key)))->images;
  images[11 * 512] ^= 1;
  std::vector<uint64_t> hashes;
  const std::string frame = *EncodeSnapshotFrame(512, 1, AsBytes(images), &hashes);
  manifest.frame_bytes = {frame.size()};
  manifest.frames_checksum = 0;
  for (uint64_t hash : hashes) manifest.frames_checksum += hash;
  builder.Write(frame_key, frame);
  builder.Write(key, *EncodeSnapshotManifest(manifest));
  std::string next = builder.versions().at(0).database;
  next[0] ^= 1;
  builder.CommitDatabase(next);
  builder.Ship();
  Restored restored = RestoreFrom(folder.client.get(), Latest());
  REQUIRE(restored.status.code() == Code::kCorrupt);
  REQUIRE(restored.status.message().find("checksum") != std::string::npos);
}

TEST_CASE("a size that the objects do not justify is damage, not memory", "[replica]") {
  Folder folder;
  ReplicaBuilder builder(folder.client.get(), 512, 4, 3);
  builder.Commit(1);
  builder.Snapshot();
  const uint64_t whole = builder.txid();
  SECTION("a few pages of zeros are believed") {
    builder.ShipSize(1000);
    REQUIRE(RestoreFrom(folder.client.get(), Latest()).database.size() == 1000 * 512);
    return;
  }
  SECTION("four billion pages") { builder.ShipSize(4'000'000'000); }
  SECTION("a page behind four billion others") { builder.ShipSize(4, 4'000'000'000); }
  SECTION("a little in each of many objects") {
    for (uint32_t i = 1; i < 20; ++i) builder.ShipSize(i * 1'000'000);
  }
  Restored restored = RestoreFrom(folder.client.get(), Latest());
  REQUIRE(restored.status.code() == Code::kCorrupt);
  REQUIRE(restored.status.message().find("-txid") != std::string::npos);
  REQUIRE(restored.database.size() <= (size_t{2} << 20) * 512);
  CheckModel(builder, RestoreFrom(folder.client.get(), AtTxid(whole)));
}

}  // namespace backstay
