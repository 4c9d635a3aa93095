// How keys are kept and renewed, in the S3 client as it signs with them.

#include <string>
#include <utility>

#include "tests/support/catch.h"
#include "tests/unit/s3_fake_transport.h"
#include "tests/unit/stepped_clock.h"
#include "uploader/storage/shared_credentials.h"

namespace backstay {
namespace {

constexpr int64_t kMinute = 60000;

// A client whose keys come from a container's endpoint: KEY1, KEY2, … each good for an hour.
struct Renewed {
  Renewed() {
    auto world = std::make_shared<CredentialWorld>();
    world->getenv = [](const std::string& name) -> std::optional<std::string> {
      if (name == "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") return "/x";
      return std::nullopt;
    };
    world->read_file = [](const std::string&) { return Status(Code::kNotFound, "none"); };
    world->send = [this](const HttpRequest&, Reach) -> Result<HttpResponse> {
      ++asked;
      if (!refuses.ok()) return refuses;
      if (!same) ++given;
      const std::string id = "KEY" + std::to_string(given);
      return HttpResponse{200,
                          {},
                          R"({"AccessKeyId":")" + id +
                              R"(","SecretAccessKey":"hidden-secret","Token":"hidden-token",)" +
                              R"("Expiration":")" + FormatRfc3339(clock.WallMs() + 60 * kMinute) +
                              "\"}"};
    };
    world->clock = &clock;
    auto fake = std::make_unique<FakeTransport>();
    transport = fake.get();
    ReplicaSettings replica;
    replica.type = "s3";
    replica.bucket = "bkt";
    replica.endpoint = "http://127.0.0.1:9000";
    Result<std::unique_ptr<ReplicaClient>> made =
        S3ReplicaClient::Make({.replica = replica,
                               .transport = std::move(fake),
                               .clock = &clock,
                               .world = std::move(world)});
    REQUIRE(made.ok());
    client = std::move(*made);
  }

  void Answer(int status, const std::string& code = "") {
    transport->script.push_back(
        {Status::Ok(),
         {status, {}, code.empty() ? "" : "<Error><Code>" + code + "</Code></Error>"}});
  }
  Status Put() {
    Answer(200);
    return client->Put("k", {});
  }
  // That signed the last request.
  std::string Key() const {
    const std::string header = transport->asked.back().Header("authorization");
    const size_t at = header.find("Credential=") + 11;
    return header.substr(at, header.find('/', at) - at);
  }

  SteppedClock clock;
  int asked = 0, given = 0;
  bool same = false;
  Status refuses;
  FakeTransport* transport = nullptr;  // owned by the client
  std::unique_ptr<ReplicaClient> client;
};

}  // namespace

TEST_CASE("keys are fetched once, and anew five minutes before they expire") {
  Renewed r;
  CHECK(r.asked == 0);
  CHECK(r.Put().ok());
  CHECK(r.Key() == "KEY1");
  CHECK(r.transport->asked.back().Header("x-amz-security-token") == "hidden-token");
  r.clock.at_ms = 55 * kMinute - 1;
  CHECK(r.Put().ok());
  CHECK(r.Key() == "KEY1");
  r.clock.at_ms = 55 * kMinute;
  CHECK(r.Put().ok());
  CHECK(r.Key() == "KEY2");
  CHECK(r.asked == 2);
}

TEST_CASE("while the source is away the old keys are used for as long as they hold") {
  Renewed r;
  CHECK(r.Put().ok());
  r.refuses = Status(Code::kUnavailable, "away", true);
  r.clock.at_ms = 56 * kMinute;
  for (int i = 0; i < 3; ++i) CHECK(r.Put().ok());
  CHECK(r.Key() == "KEY1");
  CHECK(r.asked == 2);  // it is not asked before each request
  r.clock.at_ms += kMinute;
  CHECK(r.Put().ok());
  CHECK(r.asked == 3);
  r.clock.at_ms = 60 * kMinute;
  const size_t sent = r.transport->asked.size();
  const Status expired = r.client->Put("k", {});
  CHECK(expired.code() == Code::kUnavailable);
  CHECK(expired.retryable());
  CHECK_THAT(expired.message(), Catch::Contains("no credentials: the container's credentials"));
  CHECK(!r.client->Reached());
  CHECK(r.transport->asked.size() == sent);
  r.refuses = Status::Ok();
  CHECK(r.Put().ok());
  CHECK(r.Key() == "KEY2");
}

TEST_CASE("a token that expires in mid-stream is replaced, and the request sent once more") {
  for (const char* code : {"ExpiredToken", "InvalidAccessKeyId"}) {
    Renewed r;
    CHECK(r.Put().ok());
    r.clock.at_ms = kMinute;
    r.Answer(400, code);
    r.Answer(200);
    CHECK(r.client->PutIfAbsent("k", {}).ok());
    CHECK(r.Key() == "KEY2");
  }
}

TEST_CASE("the same keys again are not tried again, nor is the source asked at each refusal") {
  Renewed r;
  CHECK(r.Put().ok());
  r.clock.at_ms = kMinute;
  r.same = true;
  for (int i = 0; i < 3; ++i) {
    r.Answer(400, "ExpiredToken");
    const Status refused = r.client->Put("k", {});
    CHECK(refused.code() == Code::kDenied);
    CHECK_THAT(refused.message(), Catch::Contains("expired"));
  }
  CHECK(r.asked == 2);
}

TEST_CASE("a source's error is never taken for one of the object") {
  for (const Code code : {Code::kNotFound, Code::kExists, Code::kUnsupported, Code::kNoBucket}) {
    Renewed r;
    r.refuses = Status(code, "x");
    CHECK(r.client->Get("k").status().code() == Code::kInvalid);
    CHECK(r.client->List({}).status().code() == Code::kInvalid);
    CHECK(r.client->PutIfAbsent("k", {}).code() == Code::kInvalid);
  }
}

TEST_CASE("keys of the settings: nobody is asked, and they are never replaced by others") {
  ReplicaSettings replica;
  replica.access_key_id = "A";
  replica.secret_access_key = "S";
  SteppedClock clock;
  SharedCredentials keys(replica, &clock);
  clock.at_ms = 365 * 24 * 60 * kMinute;
  CHECK(keys.Get()->access_key_id == "A");
  CHECK(!keys.Renew());
}

TEST_CASE("half a pair is a mistake, whatever else there is") {
  ReplicaSettings replica;
  replica.environment = std::make_shared<const std::vector<std::string>>(
      std::vector<std::string>{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/x"});
  CHECK(SharedCredentials::Check(replica).ok());
  replica.half_pair = "AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY";
  CHECK_THAT(SharedCredentials::Check(replica).message(),
             Catch::Contains("AWS_ACCESS_KEY_ID is set without AWS_SECRET_ACCESS_KEY"));
}

}  // namespace backstay
