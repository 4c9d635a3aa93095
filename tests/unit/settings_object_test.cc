// How objects are stored: keys that are checked, and where they come from.

#include "tests/unit/settings_support.h"

namespace backstay {
namespace {

const char* const kKey = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyYnk=";

std::string Error(const std::string& query) {
  Result<ReplicaSettings> replica = ParseReplicaUrl("s3://b/p?" + query, "");
  INFO(query);
  REQUIRE_FALSE(replica.ok());
  return replica.error().message();
}

ObjectSettings Of(const std::string& query) {
  Result<ReplicaSettings> replica = ParseReplicaUrl("s3://b/p?" + query, "");
  INFO(replica.status().ToString());
  REQUIRE(replica.ok());
  return replica->objects;
}

ReplicaSettings First(SettingsWorld* world, const std::string& url = "") {
  Result<DatabaseSettings> database = world->For("/a.db", url);
  INFO(database.status().ToString());
  REQUIRE(database.ok());
  return database->replicas.at(0);
}

}  // namespace

TEST_CASE("object settings in a URL") {
  const ObjectSettings objects =
      Of("storage-class=STANDARD_IA&sse=aws:kms&sse-kms-key-id=arn:aws:kms:eu-1:1:key/2"
         "&tags=team%3Da%20b%26stage%3Dprod&request-payer=requester");
  CHECK(objects.storage_class == "STANDARD_IA");
  CHECK(objects.sse == "aws:kms");
  CHECK(objects.sse_kms_key_id == "arn:aws:kms:eu-1:1:key/2");
  CHECK(objects.tags == "team=a b&stage=prod");
  CHECK(objects.request_payer == "requester");
  CHECK(Of("sse=AES256").sse == "AES256");
  // What else could be meant?
  CHECK(Of("sse-kms-key-id=k").sse == "aws:kms");
}

TEST_CASE("object settings that cannot be are named with the remedy") {
  CHECK_CONTAINS(Error("storage-class=GLACIER"), "cannot be read at once");
  CHECK_CONTAINS(Error("storage-class=DEEP_ARCHIVE"), "GLACIER_IR");
  CHECK_CONTAINS(Error("storage-class=a%20b"), "STANDARD_IA");
  CHECK_CONTAINS(Error("sse=aes"), "write AES256 or aws:kms");
  CHECK_CONTAINS(Error("sse=AES256&sse-kms-key-id=k"), "goes with sse aws:kms");
  CHECK_CONTAINS(Error("sse-kms-key-id=a%20b"), "sse-kms-key-id");
  CHECK_CONTAINS(Error("tags=team"), "team=data&stage=prod");
  CHECK_CONTAINS(Error("tags=%3Dx"), "team=data");
  CHECK_CONTAINS(Error("tags=a%3D%2525"), "nothing percent-encoded");
  CHECK_CONTAINS(Error("tags=a%3D1%26b%3D1%26c%3D1%26d%3D1%26e%3D1%26f%3D1%26g%3D1%26h%3D1%26i%3D1"
                       "%26j%3D1%26k%3D1"),
                 "may have 10");
  CHECK_CONTAINS(Error("request-payer=me"), "write requester");
  CHECK_CONTAINS(Error(std::string("sse-c-key=") + kKey), "BACKSTAY_SSE_C_KEY");
  CHECK_FALSE(Contains(Error(std::string("sse-c-key=") + kKey), kKey));
}

TEST_CASE("each variable is heeded, the replica's own goes before it") {
  SettingsWorld world;
  world.environment = {{"BACKSTAY_STORAGE_CLASS", "STANDARD_IA"},
                       {"BACKSTAY_SSE", "aws:kms"},
                       {"BACKSTAY_SSE_KMS_KEY_ID", "k"},
                       {"BACKSTAY_TAGS", "a=1"},
                       {"BACKSTAY_REQUEST_PAYER", "requester"}};
  ReplicaSettings replica = First(&world, "s3://b/p");
  CHECK(replica.objects == ObjectSettings{.storage_class = "STANDARD_IA",
                                          .sse = "aws:kms",
                                          .sse_kms_key_id = "k",
                                          .sse_c_key = "",
                                          .tags = "a=1",
                                          .request_payer = "requester"});
  // Encryption is one thing: no half of it comes from elsewhere.
  replica = First(&world, "s3://b/p?sse=AES256&tags=b%3D2");
  CHECK(replica.objects.sse == "AES256");
  CHECK(replica.objects.sse_kms_key_id.empty());
  CHECK(replica.objects.tags == "b=2");
  world.environment["BACKSTAY_SSE"] = "rot13";
  CHECK_FALSE(world.For("/a.db", "s3://b/p").ok());
  // A folder has none of it, and is not refused for what is meant for others.
  CHECK(First(&world, "file:///r").objects == ObjectSettings());
}

TEST_CASE("the key of SSE-C is a secret, and goes over TLS alone") {
  SettingsWorld world;
  world.environment = {{"BACKSTAY_SSE_C_KEY", kKey}};
  const ReplicaSettings replica = First(&world, "s3://b/p?endpoint=https://h.example");
  CHECK(replica.objects.sse_c_key == kKey);
  for (const Said& said : replica.said) CHECK_FALSE(Contains(said.value, kKey));
  const auto error = [&](const std::string& url) {
    Result<DatabaseSettings> database = world.For("/a.db", url);
    REQUIRE_FALSE(database.ok());
    CHECK_FALSE(Contains(database.error().message(), world.environment["BACKSTAY_SSE_C_KEY"]));
    return database.error().message();
  };
  CHECK_CONTAINS(error("s3://b/p?endpoint=http://h.example"), "https:// endpoint alone");
  CHECK_CONTAINS(error("s3://b/p?endpoint=http://127.0.0.1:9000"), "https:// endpoint alone");
  CHECK_CONTAINS(error("s3://b.localhost:9000/p"), "https:// endpoint alone");
  for (const char* bad : {"short", "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyYnk",
                          "!!VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyYnk=",
                          "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyYg=="}) {
    world.environment["BACKSTAY_SSE_C_KEY"] = bad;
    CHECK_CONTAINS(error("s3://b/p"), "32 bytes in Base64");
  }
  world.environment = {{"BACKSTAY_SSE_C_KEY", kKey}, {"AWS_ENDPOINT_URL", "http://h.example"}};
  CHECK_CONTAINS(error("s3://b/p"), "https:// endpoint alone");
}

TEST_CASE("object settings in the file: of one replica, or of all") {
  SettingsWorld world;
  const auto file = [](const std::string& top, const std::string& own) {
    return "{" + top + R"("dbs":[{"path":"/a.db","replica":{"bucket":"b")" + own + "}}]}";
  };
  world.File(file(R"("storage-class":"STANDARD_IA","sse":"aws:kms","sse-kms-key-id":"k",)", ""));
  CHECK(First(&world).objects.storage_class == "STANDARD_IA");
  CHECK(First(&world).objects.sse_kms_key_id == "k");
  world.File(file(R"("sse":"aws:kms","sse-kms-key-id":"k","tags":"a=1",)",
                  std::string(R"(,"sse-c-key":")") + kKey + R"(")"));
  CHECK(First(&world).objects == ObjectSettings{.storage_class = "",
                                                .sse = "",
                                                .sse_kms_key_id = "",
                                                .sse_c_key = kKey,
                                                .tags = "a=1",
                                                .request_payer = ""});
  CHECK_CONTAINS(
      world.FileError(file("", std::string(R"(,"sse":"AES256","sse-c-key":")") + kKey + R"(")")),
      "exclude each other");
  CHECK_CONTAINS(
      world.FileError(
          R"({"dbs":[{"path":"/a.db","replica":{"type":"file","path":"/r","sse":"AES256"}}]})"),
      "belong to a replica of type s3");
}

TEST_CASE("an access point in the bucket's place") {
  const std::string arn = "arn:aws:s3:eu-west-1:123456789012:accesspoint/app";
  const std::vector<std::string> urls = {
      "s3://" + arn + "/pre/fix", "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint:app/pre/fix"};
  for (const std::string& url : urls) {
    INFO(url);
    const Result<ReplicaSettings> replica = ParseReplicaUrl(url, "");
    REQUIRE(replica.status().ToString() == "OK");
    CHECK(replica->path == "pre/fix");
    CHECK(replica->region == "eu-west-1");
    CHECK(ParseReplicaUrl(replica->Describe(), "")->bucket == replica->bucket);
  }
  CHECK(ParseReplicaUrl("s3://" + arn, "")->bucket == arn);
  SettingsWorld world;
  world.environment = {{"AWS_REGION", "us-west-2"}};
  world.File(R"({"dbs":[{"path":"/a.db","replica":{"bucket":")" + arn + R"(","path":"x"}}]})");
  CHECK(First(&world).region == "eu-west-1");
  const auto error = [](const std::string& url) {
    return ParseReplicaUrl(url, "").error().message();
  };
  CHECK_CONTAINS(error("s3://" + arn + "/x?endpoint=http://127.0.0.1:9000"), "without an endpoint");
  for (const char* other :
       {"arn:aws:s3::123456789012:accesspoint/app.mrap",
        "arn:aws:s3-outposts:eu-west-1:1:outpost/op-1/accesspoint/app",
        "arn:aws:s3-object-lambda:eu-west-1:1:accesspoint/app", "arn:aws:s3:::bucket",
        "arn:aws:s3:eu-west-1:1:accesspoint", "arn:aws:s3:eu.west:1:accesspoint/app"}) {
    INFO(other);
    CHECK_CONTAINS(error("s3://" + std::string(other)), "accesspoint/name");
  }
}

}  // namespace backstay
