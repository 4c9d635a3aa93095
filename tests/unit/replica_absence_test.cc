// What counts as proof that there is nothing, and what a late list must not hide.

#include <algorithm>

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
}

}  // namespace backstay
