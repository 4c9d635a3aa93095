// A database that got another page size: what of the log before and behind that can be restored.

#include "tests/unit/replica_support.h"
#include "uploader/replica/absence.h"
#include "uploader/replica/retention.h"

namespace backstay {
namespace {

// Transactions 0 to 3 with 512 bytes a page, then 4096.
struct Bases {
  Bases() : builder(folder.client.get(), 512, 20, 7) {
    builder.Snapshot();
    Log(3);
    builder.NewBase(4096, 9);
  }

  void Log(int transactions) {
    for (int i = 0; i < transactions; ++i) {
      builder.Commit(2);
      builder.Ship();
    }
  }
  Restored At(const RestoreTarget& target) { return RestoreFrom(folder.client.get(), target); }
  void CheckPoint(uint64_t txid) {
    for (const RestoreTarget& target :
         {AtTxid(txid), AtTime(builder.versions().at(txid).time_ms)}) {
      const Restored restored = At(target);
      CheckModel(builder, restored);
      CHECK(restored.outcome.plan.txid == txid);
    }
  }
  void CheckMessage(const Restored& restored, Code code, const std::string& part) {
    INFO(restored.status.message());
    CHECK(restored.status.code() == code);
    CHECK(restored.status.message().find(part) != std::string::npos);
  }

  Folder folder;
  ReplicaBuilder builder;
};

}  // namespace

TEST_CASE("states before and behind another page size can be restored", "[replica]") {
  Bases bases;
  bases.Log(2);  // while the first snapshot is copied
  const uint64_t first = bases.builder.txid();
  bases.builder.Snapshot();
  bases.Log(3);
  const bool packed = GENERATE(false, true);
  if (packed) bases.builder.Pack(1, bases.builder.next_number() - 1, true);
  for (uint64_t txid = 0; txid <= 3; ++txid) bases.CheckPoint(txid);
  for (uint64_t txid = first; txid <= bases.builder.txid(); ++txid) bases.CheckPoint(txid);
  const Restored latest = bases.At(Latest());
  CheckModel(bases.builder, latest);
  CHECK(latest.outcome.result.page_size == 4096);
  CHECK(latest.outcome.plan.at_end);
  CHECK_FALSE(latest.outcome.plan.left);
  CHECK(latest.outcome.plan.next_log_number == bases.builder.next_number());
  for (uint64_t txid = 4; txid < first; ++txid) {
    bases.CheckMessage(bases.At(AtTxid(txid)), Code::kNotFound,
                       "transaction " + std::to_string(first));
  }
}

TEST_CASE("until the first snapshot with it is finished the end of the old one counts",
          "[replica]") {
  Bases bases;
  const int behind = GENERATE(0, 2);
  bases.Log(behind);
  const bool packed = GENERATE(false, true);
  if (packed) bases.builder.Pack(1, bases.builder.next_number() - 1, true);
  const Restored latest = bases.At(Latest());
  CheckModel(bases.builder, latest);
  const RestorePlan& plan = latest.outcome.plan;
  CHECK(plan.txid == 3);
  // The next writer goes on behind all that is there.
  CHECK(plan.at_end);
  CHECK(plan.next_log_number == bases.builder.next_number());
  CHECK(plan.epoch == 2);
  REQUIRE(plan.left);
  CHECK(plan.left->segment_number == 3 + static_cast<uint64_t>(behind));
  CHECK(plan.left->txid == bases.builder.txid());
  CHECK(plan.warnings.size() == 1);
  bases.CheckMessage(bases.At(AtTxid(4)), Code::kNotFound, "never finished");
  CHECK_FALSE(bases.At(AtTxid(2)).outcome.plan.left);
}

TEST_CASE("a damaged snapshot of the new page size is not made up for by the old one",
          "[replica]") {
  Bases bases;
  const uint64_t number = bases.builder.next_number();
  bases.builder.Snapshot();
  const std::string key = SnapshotManifestKey(number);
  std::string manifest = bases.builder.Read(key);
  manifest[9] = static_cast<char>(manifest[9] ^ 1);
  bases.builder.Write(key, manifest);
  CHECK(bases.At(Latest()).status.code() == Code::kCorrupt);
  CHECK(bases.At(AtTxid(4)).status.code() == Code::kCorrupt);
  CheckModel(bases.builder, bases.At(AtTxid(3)));
}

TEST_CASE("a page size may change again and again", "[replica]") {
  Bases bases;
  bases.builder.Snapshot();
  bases.Log(2);
  bases.builder.NewBase(512, 30);
  bases.builder.Snapshot();
  bases.Log(1);
  bases.builder.NewBase(1024, 30);
  for (uint64_t txid : bases.builder.points()) bases.CheckPoint(txid);
  CHECK(bases.At(Latest()).outcome.plan.txid == 8);
}

TEST_CASE("retention ends at a snapshot, whatever its page size", "[replica]") {
  Bases bases;
  bases.builder.Commit(1);
  bases.builder.Snapshot();
  const uint64_t first = bases.builder.txid();
  const int64_t time_ms = bases.builder.time_ms();
  bases.Log(2);
  bases.builder.Pack(1, bases.builder.next_number() - 2, true);
  RetryOptions once;
  once.attempts = 1;
  const ReplicaReader reader(bases.folder.client.get(), once);
  for (int64_t keep_after_ms : {time_ms - 1, time_ms}) {
    Result<Catalogue> catalogue = LoadCatalogue(reader, 1);
    REQUIRE(catalogue.ok());
    Result<RetentionPlan> plan = PlanRetention(reader, *catalogue, keep_after_ms);
    REQUIRE(plan.status().ToString() == "OK");
    for (const auto& batch : plan->batches) REQUIRE(bases.folder.client->Delete(batch).ok());
    if (keep_after_ms < time_ms) bases.CheckPoint(3);
    for (uint64_t txid = first; txid <= bases.builder.txid(); ++txid) bases.CheckPoint(txid);
  }
  CHECK(bases.At(AtTxid(3)).status.code() == Code::kNotFound);
  // A stale writer finds the takeover at the number that it would try.
  CHECK(bases.folder.client->Get(LogKey(4)).ok());
}

}  // namespace backstay
