// What counts as proof that there is nothing, and what a late list must not hide.

#include <algorithm>
#include <chrono>
#include <thread>

#include "tests/unit/replica_support.h"
#include "uploader/replica/absence.h"

namespace backstay {
namespace {

// A list that lacks whatever starts with one of these.
void Hide(HookedClient* client, std::vector<std::string> prefixes) {
  client->after_list = [prefixes](std::vector<ObjectInfo>* list) {
    std::erase_if(*list, [&](const ObjectInfo& info) {
      return std::any_of(prefixes.begin(), prefixes.end(),
                         [&](const std::string& prefix) { return info.key.rfind(prefix, 0) == 0; });
    });
  };
}

RetryOptions AtOnce() {
  RetryOptions retry;
  retry.sleep = [](int64_t) {};
  return retry;
}

}  // namespace

TEST_CASE("nothing, remains of a replica and other objects differ", "[replica]") {
  Folder folder;
  ReplicaReader reader(folder.client.get(), AtOnce());
  REQUIRE(LookWithoutIdentity(reader)->found == WithoutIdentity::kNothing);
  REQUIRE(LoadCatalogue(reader, 1).status().code() == Code::kNotFound);
  REQUIRE(folder.client->Put("photo.jpg", {}).ok());
  REQUIRE(LookWithoutIdentity(reader)->found == WithoutIdentity::kForeign);
  REQUIRE(LoadCatalogue(reader, 1).status().code() == Code::kForeign);
  REQUIRE(folder.client->Put(LogKey(7), {}).ok());
  REQUIRE(LookWithoutIdentity(reader)->found == WithoutIdentity::kRemains);
  REQUIRE(LoadCatalogue(reader, 1).status().code() == Code::kCorrupt);
}

TEST_CASE("a replica from which nothing comes is given up when the patience is over", "[replica]") {
  Folder folder;
  HookedClient silent(folder.client.get());
  int calls = 0;
  silent.before_get = [&](const std::string&) {
    ++calls;
    return Status(Code::kUnavailable, "silent", true);
  };
  RetryOptions retry;
  retry.patience_ms = 20;
  retry.remedy = "; look there";
  retry.sleep = [](int64_t) { std::this_thread::sleep_for(std::chrono::milliseconds(15)); };
  const ReplicaReader reader(&silent, retry);
  Status looked = LookAtReplica(reader, 1, [](Catalogue&&) -> Result<int> { return 0; }).status();
  CHECK(looked.code() == Code::kUnavailable);
  CHECK_THAT(looked.message(),
             Catch::StartsWith("silent; given up") && Catch::EndsWith("; look there"));
  CHECK(calls <= 3);
  // What came before the trouble, or between two tries, does not count as silence.
  int lost = 0;
  silent.before_get = [&](const std::string&) {
    return ++lost % 3 == 0 ? Status::Ok() : Status(Code::kUnavailable, "silent", true);
  };
  REQUIRE(folder.client->Put("k", AsBytes("v")).ok());
  retry.patience_ms = 200;
  const ReplicaReader slow(&silent, retry);
  for (int i = 0; i < 10; i++) CHECK(slow.Get("k").ok());
}

TEST_CASE("what the list does not show yet is asked for by name", "[replica]") {
  Folder folder;
  ReplicaBuilder builder(folder.client.get(), 512, 10, 6);
  HookedClient late(folder.client.get());
  ReplicaReader reader(&late, AtOnce());
  builder.Commit(1);
  SECTION("the first snapshot") {
    builder.Snapshot();
    Hide(&late, {"snapshot/"});
    CheckModel(builder, RestoreFrom(&late, Latest()));
    Hide(&late, {"snapshot/", "log/"});
    CheckModel(builder, RestoreFrom(&late, Latest()));
  }
  SECTION("a first snapshot that began behind objects of the log") {
    builder.Ship();
    builder.Commit(1);
    builder.Ship();
    builder.Snapshot();
    builder.Commit(1);
    builder.Ship();
    Hide(&late, {"snapshot/", "log/"});
    Restored restored = RestoreFrom(&late, Latest());
    CheckModel(builder, restored);
    REQUIRE(restored.outcome.plan.txid == builder.txid());
  }
  SECTION("all but the identity") {
    builder.Snapshot();
    REQUIRE(folder.client->Delete({kIdentityKey}).ok());
    Hide(&late, {""});
    REQUIRE(LookWithoutIdentity(reader)->found == WithoutIdentity::kRemains);
  }
  SECTION("an identity that is listed, and cannot be found") {
    late.before_get = [](const std::string& key) {
      return key == kIdentityKey ? Status(Code::kNotFound, key) : Status::Ok();
    };
    REQUIRE(LoadCatalogue(reader, 1).status().code() == Code::kUnavailable);
  }
}

TEST_CASE("a snapshot that was never finished differs from one that was deleted", "[replica]") {
  Folder folder;
  ReplicaBuilder builder(folder.client.get(), 512, 10, 6);
  ReplicaReader reader(folder.client.get(), AtOnce());
  const auto unfinished = [&] {
    Result<Catalogue> catalogue = LoadCatalogue(reader, 2);
    REQUIRE(catalogue.ok());
    Result<bool> result = FirstSnapshotUnfinished(reader, *catalogue);
    REQUIRE(result.ok());
    return *result;
  };
  REQUIRE(unfinished());
  builder.Takeover();
  REQUIRE(unfinished());
  SECTION("transactions are shipped while the first one is copied") {
    builder.UnfinishedSnapshot();
    builder.Commit(1);
    builder.Ship();
    REQUIRE(unfinished());
  }
  SECTION("it was there") {
    builder.Commit(1);
    builder.Snapshot();
    REQUIRE_FALSE(unfinished());
    auto objects = folder.client->List({.prefix = "snapshot/"});
    REQUIRE(objects.ok());
    for (const ObjectInfo& object : *objects) REQUIRE(folder.client->Delete({object.key}).ok());
    REQUIRE_FALSE(unfinished());
  }
  SECTION("only its manifest was deleted") {
    builder.UnfinishedSnapshot();
    builder.Commit(1);
    builder.Ship();
    REQUIRE(folder.client->Put(kRestorableKey, AsBytes("1\n")).ok());
    REQUIRE_FALSE(unfinished());
  }
}

}  // namespace backstay
