// Restores of replicas made by hand, compared with the model at every transaction.

#include <algorithm>
#include <random>

#include "tests/support/each_nth.h"
#include "tests/unit/replica_support.h"
#include "uploader/base/hash.h"

namespace backstay {
namespace {

// Several snapshots, fuzzy ones among them, packs, takeovers, void objects, all kinds of segments.
void MakeHistory(ReplicaBuilder* builder, uint32_t seed, int rounds) {
  std::mt19937 random(seed);
  builder->Snapshot();
  uint64_t packed = 0;
  for (int round = 0; round < rounds; ++round) {
    for (uint32_t i = 0; i <= random() % 5; ++i) builder->Commit(1 + random() % 6);
    switch (random() % 8) {
      case 0: builder->ShipSplit(); break;
      case 1: builder->ShipMerged(1 + random() % 3); break;
      case 2:
        builder->Ship();
        builder->Takeover();
        if (random() % 2 == 0) builder->PutVoid();
        break;
      case 3:
        builder->Ship();
        builder->StartSnapshot();
        for (uint32_t i = 0; i < random() % 4; ++i) {
          builder->Commit(3);
          builder->Ship();
        }
        builder->FinishSnapshot();
        break;
      case 4:
        builder->Ship();
        if (builder->next_number() > packed + 3) {
          builder->Pack(packed + 1, builder->next_number() - 2, random() % 2 == 0);
          packed = builder->next_number() - 2;
        }
        break;
      default: builder->Ship();
    }
  }
}

void CheckEveryPoint(const ReplicaBuilder& builder) {
  uint64_t expected = *builder.points().begin();
  for (uint64_t txid = expected; txid <= builder.txid(); ++txid) {
    if (builder.points().contains(txid)) expected = txid;
    Restored restored = RestoreFrom(builder.client(), AtTxid(txid));
    CheckModel(builder, restored);
    REQUIRE(restored.outcome.plan.txid == expected);
    restored = RestoreFrom(builder.client(), AtTime(builder.versions().at(txid).time_ms));
    CheckModel(builder, restored);
    REQUIRE(restored.outcome.plan.txid == expected);
  }
}

}  // namespace

TEST_CASE("every transaction of random histories can be restored", "[replica]") {
  const uint32_t seed = GENERATE(range(1u, 13u));
  if (seed % EachNth() != 0) return;
  INFO("seed " << seed);
  Folder folder;
  const uint32_t page_size = seed % 2 == 0 ? 512 : 4096;
  ReplicaBuilder builder(folder.client.get(), page_size, 20 + seed, seed);
  MakeHistory(&builder, seed, 30);
  CheckEveryPoint(builder);
  Restored latest = RestoreFrom(folder.client.get(), Latest());
  CheckModel(builder, latest);
  REQUIRE(latest.outcome.plan.txid == builder.txid());
  REQUIRE(latest.outcome.plan.at_end);
  REQUIRE(latest.outcome.plan.next_log_number == builder.next_number());
}

TEST_CASE("the result does not depend on parallelism, memory or batches", "[replica]") {
  Folder folder;
  ReplicaBuilder builder(folder.client.get(), 512, 40, 99);
  MakeHistory(&builder, 99, 40);
  for (size_t parallelism : {1, 3, 8}) {
    for (uint64_t keep : {0, 1000, 1 << 20}) {
      Restored restored = RestoreFrom(folder.client.get(), Latest(), parallelism, keep, 1 + keep);
      CheckModel(builder, restored);
      REQUIRE(restored.outcome.plan.txid == builder.txid());
    }
  }
}

TEST_CASE("what a restore knows lets the next writer go on", "[replica]") {
  Folder folder;
  ReplicaBuilder builder(folder.client.get(), 512, 10, 3);
  builder.Snapshot();
  builder.Commit(3);
  builder.Ship();
  builder.Takeover();
  Restored restored = RestoreFrom(folder.client.get(), Latest());
  CheckModel(builder, restored);
  const RestoreOutcome& outcome = restored.outcome;
  REQUIRE(outcome.plan.at_end);
  REQUIRE(outcome.plan.epoch == 2);
  REQUIRE(outcome.plan.next_log_number == 3);
  REQUIRE(outcome.result.checksum_proven);
  REQUIRE(outcome.result.segment_number == 1);
  REQUIRE(outcome.result.page_hashes.size() * 512 == restored.database.size());
  for (size_t i = 0; i < outcome.result.page_hashes.size(); ++i) {
    const Bytes page = AsBytes(restored.database).subspan(i * 512, 512);
    REQUIRE(outcome.result.page_hashes[i] == PageHash(static_cast<uint32_t>(i + 1), page));
  }
  builder.Commit(2);
  builder.Ship();
  REQUIRE_FALSE(RestoreFrom(folder.client.get(), AtTxid(1)).outcome.plan.at_end);
}

TEST_CASE("a restore never stops inside a transaction", "[replica]") {
  Folder folder;
  ReplicaBuilder builder(folder.client.get(), 512, 10, 4);
  builder.Snapshot();
  builder.Commit(3);
  builder.Ship();
  builder.Commit(5);
  builder.ShipUnfinished();
  builder.Takeover();
  Restored restored = RestoreFrom(folder.client.get(), Latest());
  CheckModel(builder, restored);
  REQUIRE(restored.outcome.plan.txid == 1);
  // The next writer goes on there, and finds what was begun.
  REQUIRE(restored.outcome.plan.at_end);
  REQUIRE(restored.outcome.plan.next_log_number == 2);
  // It is the end that the takeover names, so not void.
  REQUIRE(restored.outcome.plan.epoch == 2);
  REQUIRE(restored.outcome.plan.void_below == 1);
  REQUIRE_FALSE(RestoreFrom(folder.client.get(), AtTxid(0)).outcome.plan.at_end);
}

TEST_CASE("a step inside a segment of several frames can be the last", "[replica]") {
  // 16 pages of 64 KiB fill a frame: later frames have bases that the restore leaves out.
  Folder folder;
  ReplicaBuilder builder(folder.client.get(), 65536, 12, 8);
  builder.Snapshot();
  for (int i = 0; i < 20; ++i) builder.Commit(8);
  builder.ShipMerged(1);
  CheckEveryPoint(builder);
}

TEST_CASE("restore points outside the history are refused, with the range", "[replica]") {
  Folder folder;
  ReplicaBuilder builder(folder.client.get(), 512, 10, 5);
  builder.Commit(1);
  builder.Commit(1);
  builder.Snapshot();
  builder.Commit(1);
  builder.Ship();
  const int64_t first_ms = builder.versions().at(2).time_ms;
  for (const RestoreTarget& target : {AtTxid(1), AtTime(first_ms - 1), AtTxid(4)}) {
    Restored restored = RestoreFrom(folder.client.get(), target);
    REQUIRE(restored.status.code() == Code::kNotFound);
    REQUIRE(restored.status.message().find("transaction") != std::string::npos);
  }
  REQUIRE(RestoreFrom(folder.client.get(), AtTime(builder.time_ms() + 1)).outcome.plan.txid == 3);
  REQUIRE(RestoreFrom(folder.client.get(), AtTime(first_ms)).outcome.plan.txid == 2);
}

TEST_CASE("a missing replica, an unfinished one and an unreadable one differ", "[replica]") {
  Folder folder;
  REQUIRE(RestoreFrom(folder.client.get(), Latest()).status.code() == Code::kNotFound);
  ReplicaBuilder builder(folder.client.get(), 512, 10, 6);
  ReplicaReader reader(folder.client.get());
  REQUIRE(LoadCatalogue(reader, 1)->NothingToRestoreYet());
  builder.Commit(1);
  builder.Ship();
  builder.UnfinishedSnapshot();
  Result<Catalogue> catalogue = LoadCatalogue(reader, 1);
  REQUIRE(catalogue->NothingToRestoreYet());
  REQUIRE(catalogue->unfinished_snapshots.size() == 1);
  REQUIRE(RestoreFrom(folder.client.get(), Latest()).status.code() == Code::kNotFound);

  SECTION("identity gone or damaged") {
    REQUIRE(folder.client->Delete({kIdentityKey}).ok());
    REQUIRE(RestoreFrom(folder.client.get(), Latest()).status.code() == Code::kCorrupt);
    builder.Write(kIdentityKey, "{\"format\": 1");
    REQUIRE(RestoreFrom(folder.client.get(), Latest()).status.code() == Code::kCorrupt);
    builder.Write(kIdentityKey, "{\"format\": 3, \"something\": \"else\"}");
    REQUIRE(RestoreFrom(folder.client.get(), Latest()).status.code() == Code::kNewer);
  }
  SECTION("the beginning of the log is gone: there was a snapshot once") {
    builder.Commit(1);
    builder.Ship();
    REQUIRE(folder.client->Delete({LogKey(1)}).ok());
    REQUIRE_FALSE(LoadCatalogue(reader, 1)->NothingToRestoreYet());
    REQUIRE(RestoreFrom(folder.client.get(), Latest()).status.code() == Code::kCorrupt);
  }
  SECTION("denied and unavailable stay what they are") {
    HookedClient hooked(folder.client.get());
    // kInvalid: what a proxy in front of the store says of itself.
    for (Code code : {Code::kDenied, Code::kUnavailable, Code::kInvalid}) {
      hooked.before_get = [code](const std::string&) { return Status(code, "no"); };
      REQUIRE(RestoreFrom(&hooked, Latest()).status.code() == code);
    }
  }
}

TEST_CASE("an answer that is none of the store's is no damage", "[replica]") {
  Folder folder;
  ReplicaBuilder builder(folder.client.get(), 512, 10, 7);
  MakeHistory(&builder, 7, 10);
  HookedClient hooked(folder.client.get());
  for (const char* part : {"/frame", "pack/", "log/"}) {
    INFO(part);
    hooked.before_get = [part](const std::string& key) {
      const bool hit =
          key.find(part) != std::string::npos || (part[0] == '/' && key.find("snapshot/") == 0 &&
                                                  key.find("manifest") == std::string::npos);
      return hit ? Status(Code::kInvalid, "HTTP 404 without a word of S3") : Status::Ok();
    };
    const Status status = RestoreFrom(&hooked, Latest()).status;
    REQUIRE((status.ok() || status.code() == Code::kInvalid));
  }
}

TEST_CASE("passing errors are tried again, lasting ones are not for ever", "[replica]") {
  Folder folder;
  ReplicaBuilder builder(folder.client.get(), 512, 10, 7);
  MakeHistory(&builder, 7, 10);
  HookedClient hooked(folder.client.get());
  std::atomic<int> calls = 0;
  hooked.before_get = [&](const std::string&) {
    return ++calls % 3 == 0 ? Status::Ok() : Status(Code::kUnavailable, "503", true);
  };
  // One thread: the calls for one object then follow each other.
  CheckModel(builder, RestoreFrom(&hooked, Latest(), 1));
  calls = 0;
  hooked.before_get = [&](const std::string&) {
    ++calls;
    return Status(Code::kUnavailable, "503", true);
  };
  REQUIRE(RestoreFrom(&hooked, Latest(), 1).status.code() == Code::kUnavailable);
  REQUIRE(calls < 100);
}

TEST_CASE("the lock-byte page is neither expected nor summed", "[replica]") {
  // 2^30 / 65536 + 1 pages of zeros compress to little; the file in memory is 1 GiB and more.
  constexpr uint32_t kPageSize = 65536;
  const uint32_t lock_page = LockBytePage(kPageSize);
  MemoryPageStore store;
  DatabaseImage image(&store, kPageSize, UINT32_MAX);
  const std::string page(kPageSize, 'x');
  REQUIRE(image.WritePage(lock_page, AsBytes(page), 1).code() == Code::kCorrupt);
  REQUIRE(image.WritePage(lock_page - 1, AsBytes(page), 1).ok());
  const uint64_t before = image.Checksum();
  REQUIRE(image.Resize(lock_page).ok());
  REQUIRE(image.Checksum() == before);
  const uint64_t hash = PageHash(lock_page + 1, AsBytes(page));
  REQUIRE(image.WritePage(lock_page + 1, AsBytes(page), hash).ok());
  REQUIRE(image.Checksum() == before + hash);
  REQUIRE(image.Resize(lock_page).ok());
  REQUIRE(image.Checksum() == before);
  REQUIRE(image.TakeHashes()[lock_page - 1] == 0);
}

}  // namespace backstay
