// What the settings of the objects add to each kind of request.

#include <string>

#include "tests/support/catch.h"
#include "tests/unit/s3_fake_transport.h"
#include "uploader/settings/replica_url.h"

namespace backstay {
namespace {

const char* const kKey = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTMyYnk=";
const char* const kCustomer = "x-amz-server-side-encryption-customer-";

struct World : Scripted {
  explicit World(const ObjectSettings& objects, const std::string& bucket = "bkt") {
    ReplicaSettings replica = Usual();
    replica.endpoint = "";
    replica.bucket = bucket;
    replica.objects = objects;
    REQUIRE(FinishReplica(&replica).ok());
    Make({}, replica);
  }
  // Each kind of request once.
  void AskAll() {
    const std::string body(15, 'x');
    Answer(200);
    REQUIRE(client->Put("k", {}).ok());
    Answer(200);
    REQUIRE(client->PutIfAbsent("k", {}).ok());
    Answer(200, "v");
    REQUIRE(client->Get("k").ok());
    Answer(200, "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>");
    REQUIRE(client->List({}).ok());
    Answer(204);
    REQUIRE(client->Delete({"k"}).ok());
    Answer(200, "<DeleteResult/>");
    REQUIRE(client->Delete({"k", "l"}).ok());
    Answer(200,
           "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>");
    for (int part = 0; part < 3; ++part) Answer(200, "", {{"etag", "e"}});
    Answer(200, "<CompleteMultipartUploadResult/>");
    REQUIRE(client->Put("k", AsBytes(std::string(25, 'x'))).ok());
    REQUIRE(transport->asked.size() == 11);
  }
  // Which of these had it, as "PUT create GET list DELETE batch uploads part part part complete".
  std::string With(const std::string& header, const std::string& value) {
    constexpr const char* kNames[] = {"PUT",     "create", "GET",  "list", "DELETE",  "batch",
                                      "uploads", "part",   "part", "part", "complete"};
    std::string out;
    for (size_t i = 0; i < transport->asked.size(); ++i) {
      const std::string has = transport->asked[i].Header(header);
      if (has.empty()) continue;
      CHECK(has == value);
      CHECK_THAT(transport->asked[i].Header("authorization"), Catch::Contains(header));
      out += std::string(out.empty() ? "" : " ") + kNames[i];
    }
    return out;
  }
};

}  // namespace

TEST_CASE("nothing is added where nothing is set") {
  World world({});
  world.AskAll();
  for (const FakeTransport::Asked& asked : world.transport->asked) {
    for (const auto& [name, value] : asked.headers) {
      INFO(name);
      CHECK((name == "host" || name == "authorization" || name == "x-amz-date" ||
             name == "x-amz-content-sha256" || name == "x-amz-security-token" ||
             name == "content-md5" || name == "if-none-match"));
    }
  }
}

TEST_CASE("storage class, encryption and tags go with what makes an object") {
  World world({.storage_class = "STANDARD_IA",
               .sse = "aws:kms",
               .sse_kms_key_id = "k/1",
               .sse_c_key = "",
               .tags = "team=a b&path=x/y&empty=",
               .request_payer = ""});
  world.AskAll();
  const std::string makes = "PUT create uploads";
  CHECK(world.With("x-amz-storage-class", "STANDARD_IA") == makes);
  CHECK(world.With("x-amz-server-side-encryption", "aws:kms") == makes);
  CHECK(world.With("x-amz-server-side-encryption-aws-kms-key-id", "k/1") == makes);
  CHECK(world.With("x-amz-tagging", "team=a%20b&path=x%2Fy&empty=") == makes);
}

TEST_CASE("the requester pays every request") {
  World world({.storage_class = "",
               .sse = "",
               .sse_kms_key_id = "",
               .sse_c_key = "",
               .tags = "",
               .request_payer = "requester"});
  world.AskAll();
  CHECK(world.With("x-amz-request-payer", "requester") ==
        "PUT create GET list DELETE batch uploads part part part complete");
}

TEST_CASE("the operator's own key goes with what writes or reads content, and in no message") {
  World world({.storage_class = "",
               .sse = "",
               .sse_kms_key_id = "",
               .sse_c_key = kKey,
               .tags = "",
               .request_payer = ""});
  world.AskAll();
  const std::string content = "PUT create GET uploads part part part";
  CHECK(world.With(std::string(kCustomer) + "algorithm", "AES256") == content);
  CHECK(world.With(std::string(kCustomer) + "key", kKey) == content);
  // echo -n secret-secret-secret-secret-32by | openssl md5 -binary | base64
  CHECK(world.With(std::string(kCustomer) + "key-md5", "TwNa8juPyVdJw6kPJzLaIg==") == content);
  world.Error(400, "InvalidArgument", std::string("<Message>bad ") + kKey + "</Message>");
  const Status put = world.client->Put("k", {});
  CHECK_FALSE(put.ok());
  CHECK_THAT(put.message(), !Catch::Contains(kKey));
}

TEST_CASE("the operator's own key is never sent without TLS") {
  ReplicaSettings replica = Scripted::Usual();
  replica.objects.sse_c_key = kKey;
  CHECK(S3ReplicaClient::Make({.replica = replica}).status().code() == Code::kInvalid);
  // Nor to where a redirect leads.
  World world({.storage_class = "",
               .sse = "",
               .sse_kms_key_id = "",
               .sse_c_key = kKey,
               .tags = "",
               .request_payer = ""});
  world.Answer(307, "", {{"location", "http://bkt.s3.us-east-1.amazonaws.com/app/k"}});
  CHECK(world.client->Put("k", {}).code() == Code::kInvalid);
  CHECK(world.transport->asked.size() == 1);
}

TEST_CASE("an access point is asked at its own host, signed for its region") {
  World world({}, "arn:aws:s3:eu-west-1:123456789012:accesspoint/app");
  world.Answer(200);
  REQUIRE(world.client->Put("k", {}).ok());
  const FakeTransport::Asked& asked = world.transport->asked[0];
  CHECK(asked.url == "https://app-123456789012.s3-accesspoint.eu-west-1.amazonaws.com/app/k");
  CHECK(asked.Header("host") == "app-123456789012.s3-accesspoint.eu-west-1.amazonaws.com");
  CHECK_THAT(asked.Header("authorization"), Catch::Contains("/20130524/eu-west-1/s3/"));
  CHECK(world.client->Place() ==
        "s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/app/app at "
        "https://s3-accesspoint.eu-west-1.amazonaws.com");
  World china({}, "arn:aws-cn:s3:cn-north-1:123456789012:accesspoint/app");
  china.Answer(200);
  REQUIRE(china.client->Put("k", {}).ok());
  CHECK(china.transport->asked[0].url ==
        "https://app-123456789012.s3-accesspoint.cn-north-1.amazonaws.com.cn/app/k");
}

}  // namespace backstay
