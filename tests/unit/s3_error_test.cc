// What a refusal becomes: the code, whether trying again helps, and a message that says what to do.

#include "uploader/storage/s3_error.h"

#include <string>

#include "tests/support/catch.h"
#include "tests/unit/s3_fake_transport.h"

namespace backstay {
namespace {

struct Refusal {
  int status;
  const char* body;
  Code code;
  bool retryable;
  const char* says;
};

#define ERROR_XML(code, more) "<?xml version='1.0'?><Error><Code>" code "</Code>" more "</Error>"

const Refusal kRefusals[] = {
    {404, ERROR_XML("NoSuchKey", ""), Code::kNotFound, false, "NoSuchKey"},
    {404, ERROR_XML("NoSuchBucket", ""), Code::kNoBucket, false, "bucket `bkt` does not exist"},
    {404, "<html>not found</html>", Code::kInvalid, false, "correct the endpoint"},
    {400, "Client sent an HTTP request to an HTTPS server.", Code::kInvalid, false,
     "correct the endpoint"},
    {403, ERROR_XML("AccessDenied", "<Message>no s3:GetObject</Message>"), Code::kDenied, false,
     "AccessDenied (no s3:GetObject)"},
    {403, ERROR_XML("SignatureDoesNotMatch", ""), Code::kDenied, false, "secret access key"},
    {403, ERROR_XML("InvalidAccessKeyId", ""), Code::kDenied, false, "access key id"},
    {403, ERROR_XML("RequestTimeTooSkewed", ""), Code::kDenied, true, "clock"},
    {400, ERROR_XML("ExpiredToken", ""), Code::kDenied, false, "session token has expired"},
    {403, "", Code::kDenied, false, "HTTP status 403"},
    {301, ERROR_XML("PermanentRedirect", ""), Code::kInvalid, false,
     "another endpoint or in another"},
    {503, ERROR_XML("SlowDown", ""), Code::kUnavailable, true, "SlowDown"},
    {429, "", Code::kUnavailable, true, "429"},
    {500, ERROR_XML("UnknownError", ""), Code::kUnavailable, true, "UnknownError"},
    {502, "<html>bad gateway", Code::kUnavailable, true, "502"},
    {400, ERROR_XML("RequestTimeout", ""), Code::kUnavailable, true, "RequestTimeout"},
    {400, ERROR_XML("BadDigest", ""), Code::kUnavailable, true, "BadDigest"},
    {409, ERROR_XML("OperationAborted", ""), Code::kUnavailable, true, "OperationAborted"},
    {501, ERROR_XML("NotImplemented", ""), Code::kUnsupported, false, "does not implement"},
    {400, ERROR_XML("KeyTooLongError", ""), Code::kInvalid, false, "KeyTooLongError"},
    {416, ERROR_XML("InvalidRange", ""), Code::kInvalid, false, "InvalidRange"},
};

}  // namespace

TEST_CASE("each refusal has its code and its remedy") {
  for (const Refusal& refusal : kRefusals) {
    INFO(refusal.status << " " << refusal.body);
    Scripted s;
    s.Answer(refusal.status, refusal.body);
    Status status = s.client->Get("log/1").status();
    CHECK(status.code() == refusal.code);
    CHECK(status.retryable() == refusal.retryable);
    CHECK_THAT(status.message(), Catch::Contains(refusal.says));
    CHECK_THAT(status.message(),
               Catch::StartsWith("GET s3://bkt/app/log/1 at http://127.0.0.1:9000: "));
  }
}

TEST_CASE(
    "a refusal is told by the HTTP status, S3's code, its words and the request id, each once") {
  const std::string begin = "PUT s3://bkt/app/k at http://127.0.0.1:9000: HTTP status 403, ";
  const std::string remedy = ": check the credentials and their rights on the bucket";
  Scripted s;
  s.Error(403, "AccessDenied", "<Message>no right</Message><RequestId>4442</RequestId>");
  CHECK(s.client->Put("k", {}).message() ==
        begin + "AccessDenied (no right), request id 4442" + remedy);
  s.Answer(403, "<Error><Code>AccessDenied</Code><Message>AccessDenied</Message></Error>",
           {{"x-amz-request-id", "tx01"}});
  CHECK(s.client->Put("k", {}).message() == begin + "AccessDenied, request id tx01" + remedy);
  s.Answer(503, "", {{"x-amz-request-id", "tx02"}});
  CHECK(s.client->Put("k", {}).message() ==
        "PUT s3://bkt/app/k at http://127.0.0.1:9000: HTTP status 503, request id tx02");
  // Inside a success, of all of it or of one key.
  s.Answer(200, "<Error><Code>InternalError</Code></Error>", {{"x-amz-request-id", "tx03"}});
  CHECK(s.client->Put("k", {}).message() ==
        "PUT s3://bkt/app/k at http://127.0.0.1:9000: HTTP status 200, InternalError, request id "
        "tx03");
  s.Answer(200,
           "<DeleteResult><Error><Key>app/k</Key><Code>AccessDenied</Code></Error></DeleteResult>",
           {{"x-amz-request-id", "tx04"}});
  CHECK(s.client->Delete({"k", "l"}).message() ==
        "DELETE s3://bkt/app/k at http://127.0.0.1:9000: HTTP status 200, AccessDenied, request id "
        "tx04" +
            remedy);
}

TEST_CASE("the right region stands in the body or in a header") {
  const S3Call call{
      .what = "list", .bucket = "bkt", .endpoint = "x", .region = "us-east-1", .secrets = {}};
  const bool header = GENERATE(true, false);
  const Status status =
      header
          ? S3Failure(call, {301, {{"x-amz-bucket-region", "eu-west-3"}}, ""})
          : S3Failure(call, {400,
                             {},
                             "<?xml version='1.0'?><Error><Code>AuthorizationHeaderMalformed</Code>"
                             "<Region>eu-west-3</Region></Error>"});
  CHECK(status.code() == Code::kInvalid);
  CHECK_THAT(status.message(), Catch::Contains("set the region to `eu-west-3`"));
}

TEST_CASE("network errors keep their code and name the call") {
  Scripted s;
  s.transport->script.push_back({Status(Code::kUnavailable, "connection reset", true), {}});
  Status status = s.client->Put("k", {});
  CHECK(status.code() == Code::kUnavailable);
  CHECK(status.retryable());
  CHECK(status.message() == "PUT s3://bkt/app/k at http://127.0.0.1:9000: connection reset");
}

TEST_CASE("a secret that the server repeats is not shown") {
  for (const char* secret : {"example-secret", "example-token"}) {
    Scripted s;
    s.Error(403, "AccessDenied", std::string("<Message>bad ") + secret + "</Message>");
    CHECK_THAT(s.client->Put("k", {}).message(),
               Catch::Contains("AccessDenied") && !Catch::Contains(secret));
    s.Error(403, secret);
    CHECK_THAT(s.client->Put("k", {}).message(), !Catch::Contains(secret));
    s.Answer(301, "", {{"x-amz-bucket-region", secret}});
    CHECK_THAT(s.client->Put("k", {}).message(), !Catch::Contains(secret));
    s.Answer(403, "", {{"x-amz-request-id", secret}});
    CHECK_THAT(s.client->Put("k", {}).message(), !Catch::Contains(secret));
  }
}

TEST_CASE("a server's message is one line of bounded length") {
  Scripted s;
  s.Error(400, "Odd", "<Message>a\nb" + std::string(10000, 'x') + "</Message>");
  std::string message = s.client->Put("k", {}).message();
  CHECK(message.size() < 500);
  CHECK(message.find('\n') == std::string::npos);
}

TEST_CASE("Retry-After in all its forms") {
  int64_t now = 1369353600000;
  CHECK(ParseRetryAfterMs("", now) == 0);
  CHECK(ParseRetryAfterMs("2", now) == 2000);
  CHECK(ParseRetryAfterMs("99999999999999999999", now) == 3600 * 1000);
  CHECK(ParseRetryAfterMs("-5", now) == 0);
  CHECK(ParseRetryAfterMs("soon", now) == 0);
  CHECK(ParseRetryAfterMs("Fri, 24 May 2013 00:00:10 GMT", now) == 10000);
  CHECK(ParseRetryAfterMs("Fri, 24 May 2012 00:00:10 GMT", now) == 0);
}

}  // namespace backstay
