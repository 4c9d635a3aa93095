// The S3 client against scripted answers: what it asks, and what it makes of the replies.

#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/unit/s3_fake_transport.h"

namespace backstay {
namespace {

std::string ListXml(const std::string& keys, const std::string& token) {
  std::string out = "<ListBucketResult><EncodingType>url</EncodingType>";
  for (char key : keys) {
    out += std::string("<Contents><Key>app/log/") + key + "</Key><Size>7</Size></Contents>";
  }
  if (token.empty()) return out + "<IsTruncated>false</IsTruncated></ListBucketResult>";
  return out + "<IsTruncated>true</IsTruncated><NextContinuationToken>" + token +
         "</NextContinuationToken></ListBucketResult>";
}

}  // namespace

TEST_CASE("a PUT is signed, with the key below the prefix") {
  Scripted s;
  s.Answer(200);
  CHECK(s.client->Put("log/a b+c", AsBytes("hi")).ok());
  const FakeTransport::Asked& asked = s.transport->asked.at(0);
  CHECK(asked.method == "PUT");
  CHECK(asked.url == "http://127.0.0.1:9000/bkt/app/log/a%20b%2Bc");
  CHECK(asked.body == "hi");
  CHECK(asked.Header("host") == "127.0.0.1:9000");
  CHECK(asked.Header("x-amz-date") == "20130524T000000Z");
  CHECK(asked.Header("x-amz-security-token") == "example-token");
  CHECK(asked.Header("x-amz-content-sha256") ==
        "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4");
  CHECK_THAT(asked.Header("authorization"),
             Catch::StartsWith("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/"));
  CHECK(asked.Header("if-none-match").empty());
}

TEST_CASE("keys are replaced by others, and never by none") {
  Scripted s;
  ReplicaSettings keys;
  keys.access_key_id = "AKIAOTHER";
  CHECK_THAT(s.client->UseKeys({}).status().message(), Catch::Contains("set access-key-id"));
  CHECK_THAT(s.client->UseKeys(keys).status().message(), Catch::Contains("set secret-access-key"));
  s.Answer(200);
  CHECK(s.client->Put("k", {}).ok());
  CHECK_THAT(s.transport->asked.at(0).Header("authorization"),
             Catch::Contains("Credential=AKIAIOSFODNN7EXAMPLE/"));
  keys.secret_access_key = "secret";
  CHECK(s.client->UseKeys(keys).value());
  CHECK(!s.client->UseKeys(keys).value());
  s.Answer(200);
  CHECK(s.client->Put("k", {}).ok());
  CHECK_THAT(s.transport->asked.at(1).Header("authorization"),
             Catch::Contains("Credential=AKIAOTHER/"));
}

TEST_CASE("PutIfAbsent") {
  Scripted s;
  s.Answer(200);
  CHECK(s.client->PutIfAbsent("k", AsBytes("more bytes than the multipart threshold")).ok());
  CHECK(s.transport->asked.at(0).Header("if-none-match") == "*");
  CHECK_THAT(s.transport->asked.at(0).Header("authorization"), Catch::Contains(";if-none-match;"));
  CHECK_FALSE(s.transport->asked.at(0).resend);

  s.Error(412, "PreconditionFailed");
  CHECK(s.client->PutIfAbsent("k", {}).code() == Code::kExists);
  s.Error(501, "NotImplemented");
  CHECK(s.client->PutIfAbsent("k", {}).code() == Code::kUnsupported);
  s.Error(409, "ConditionalRequestConflict");
  Status conflict = s.client->PutIfAbsent("k", {});
  CHECK(conflict.code() == Code::kUnavailable);
  CHECK(conflict.retryable());
}

TEST_CASE("a list follows its continuation tokens") {
  Scripted s;
  s.Answer(200, ListXml("12", "t/+1=="));
  s.Answer(200, ListXml("34", ""));
  Result<std::vector<ObjectInfo>> list = s.client->List({.prefix = "log/", .start_after = "log/0"});
  REQUIRE(list.ok());
  REQUIRE(list->size() == 4);
  CHECK(list->at(0).key == "log/1");
  CHECK(list->at(0).size == 7);
  CHECK(list->at(3).key == "log/4");
  REQUIRE(s.transport->asked.size() == 2);
  CHECK(s.transport->asked[0].url ==
        "http://127.0.0.1:9000/bkt/?encoding-type=url&list-type=2&prefix=app%2Flog%2F&start-after="
        "app%2Flog%2F0");
  CHECK(s.transport->asked[1].url ==
        "http://127.0.0.1:9000/bkt/?continuation-token=t%2F%2B1%3D%3D&encoding-type=url&list-type=2"
        "&prefix=app%2Flog%2F");
}

TEST_CASE("a server's list is not trusted") {
  Scripted s;
  SECTION("cut off without a token") {
    s.Answer(200, "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>");
    CHECK(s.client->List({}).status().code() == Code::kUnavailable);
  }
  SECTION("the same token for ever") {
    for (int i = 0; i < 5; i++) s.Answer(200, ListXml("1", "same"));
    CHECK(s.client->List({}).status().code() == Code::kUnavailable);
    CHECK(s.transport->asked.size() == 2);
  }
  SECTION("out of order, before start_after, twice") {
    s.Answer(200, ListXml("43321", ""));
    Result<std::vector<ObjectInfo>> list = s.client->List({.start_after = "log/2"});
    REQUIRE(list.ok());
    REQUIRE(list->size() == 2);
    CHECK(list->at(0).key == "log/3");
  }
  SECTION("pages without anything, for ever") {
    for (int i = 0; i < 200; i++) s.Answer(200, ListXml("", "t" + std::to_string(i)));
    CHECK(s.client->List({}).status().code() == Code::kUnavailable);
    CHECK(s.transport->asked.size() < 200);
  }
  SECTION("no XML at all") {
    s.Answer(200, "<html>Log in to the hotel's network");
    Status list = s.client->List({}).status();
    CHECK(list.code() == Code::kUnavailable);
    CHECK_THAT(list.message(), Catch::Contains("http://127.0.0.1:9000"));
  }
}

TEST_CASE("a list that does not fit its question is an error, not a shorter list") {
  const auto object = [](const std::string& key) {
    return "<Contents><Key>" + key + "</Key><Size>7</Size></Contents>";
  };
  const auto folder = [](const std::string& name) {
    return "<CommonPrefixes><Prefix>" + name + "</Prefix></CommonPrefixes>";
  };
  const std::string end = "<IsTruncated>false</IsTruncated>";
  const std::string url = "<EncodingType>url</EncodingType>";
  struct Misfit {
    const char* what;
    bool folders;
    std::string list;
  };
  const std::vector<Misfit> misfits = {
      {"outside the prefix", false, object("app/log/1") + end},
      {"outside the replica", false, object("other/snapshot/1") + end},
      {"encoded in part, without saying so", false, object("app%2Fsnapshot/1") + end},
      {"not encoded, though it says so", false, url + object("ap%70/snap+shot/1") + end},
      {"no key", false, "<Contents><Size>7</Size></Contents>" + end},
      {"no size", false, "<Contents><Key>app/snapshot/1</Key></Contents>" + end},
      {"folders unasked", false, folder("app/snapshot/1/") + end},
      {"a folder without its slash", true, folder("app/snapshot/1") + end},
      {"a folder below the folder", true, folder("app/snapshot/1/2/") + end},
      {"the prefix itself as a folder", true, folder("app/snapshot/") + end},
      {"the delimiter ignored", true, object("app/snapshot/1/manifest") + end},
      {"empty, of another prefix", true, "<Prefix>app/log/</Prefix>" + end},
      {"no word about its end", true, ""},
  };
  for (const Misfit& misfit : misfits) {
    INFO(misfit.what);
    Scripted s;
    s.Answer(200, "<ListBucketResult>" + misfit.list + "</ListBucketResult>");
    Status listed = s.client->List({.prefix = "snapshot/", .folders = misfit.folders}).status();
    CHECK(listed.code() == Code::kUnavailable);
    CHECK_THAT(listed.message(), Catch::Contains("at http://127.0.0.1:9000"));
  }
}

TEST_CASE("lists that fit their question") {
  Scripted s;
  s.Answer(200,
           "<ListBucketResult><Prefix>app%2Fsnapshot%2F</Prefix><EncodingType>url</EncodingType>"
           "<CommonPrefixes><Prefix>app%2Fsnapshot%2F1%2F</Prefix></CommonPrefixes><Contents><Key>"
           "app/snapshot/</Key><Size>0</Size></Contents><IsTruncated>false</IsTruncated>"
           "</ListBucketResult>");
  auto list = s.client->List({.prefix = "snapshot/", .folders = true});
  REQUIRE(list.ok());
  REQUIRE(list->size() == 1);
  CHECK(list->at(0).key == "snapshot/1/");
  // An object with the prefix for its name is how a console shows an empty folder.
  s.Answer(200,
           "<ListBucketResult><Prefix>app/</Prefix><Contents><Key>app/</Key><Size>0</Size>"
           "</Contents><IsTruncated>false</IsTruncated></ListBucketResult>");
  list = s.client->List({});
  REQUIRE(list.ok());
  CHECK(list->empty());
}

TEST_CASE("a list is never `not found`") {
  Scripted s;
  s.Error(404, "NoSuchKey");
  Status listed = s.client->List({}).status();
  CHECK(listed.code() == Code::kInvalid);
  CHECK_THAT(listed.message(), Catch::Contains("endpoint"));
  s.Error(404, "NoSuchBucket");
  CHECK(s.client->List({}).status().code() == Code::kNoBucket);
}

TEST_CASE("parts, and giving them up when one fails") {
  Scripted s;
  const std::string started =
      "<InitiateMultipartUploadResult><UploadId>up/1+</UploadId></InitiateMultipartUploadResult>";
  std::string body(25, 'x');
  s.Answer(200, started);
  SECTION("all well") {
    for (const char* etag : {"\"e1\"", "\"e2\"", "\"e3\""}) s.Answer(200, "", {{"etag", etag}});
    s.Answer(200, "<CompleteMultipartUploadResult/>");
    CHECK(s.client->Put("k", AsBytes(body)).ok());
    REQUIRE(s.transport->asked.size() == 5);
    CHECK(s.transport->asked[0].url == "http://127.0.0.1:9000/bkt/app/k?uploads=");
    CHECK(s.transport->asked[3].url ==
          "http://127.0.0.1:9000/bkt/app/k?partNumber=3&uploadId=up%2F1%2B");
    CHECK(s.transport->asked[3].body.size() == 5);
    CHECK(
        s.transport->asked[4].body ==
        "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>\"e1\"</ETag></Part><Part>"
        "<PartNumber>2</PartNumber><ETag>\"e2\"</ETag></Part><Part><PartNumber>3</PartNumber>"
        "<ETag>\"e3\"</ETag></Part></CompleteMultipartUpload>");
  }
  SECTION("a part fails") {
    s.Answer(200, "", {{"etag", "e1"}});
    s.Error(500, "InternalError");
    s.Answer(204);
    CHECK(s.client->Put("k", AsBytes(body)).code() == Code::kUnavailable);
    CHECK(s.transport->asked.back().method == "DELETE");
    CHECK(s.transport->asked.back().url == "http://127.0.0.1:9000/bkt/app/k?uploadId=up%2F1%2B");
  }
  SECTION("a part without an ETag") {
    s.Answer(200, "", {{"etag", "e1"}});
    s.Answer(200);
    s.Answer(204);
    CHECK_THAT(s.client->Put("k", AsBytes(body)).message(), Catch::Contains("without an ETag"));
    CHECK(s.transport->asked.back().method == "DELETE");
  }
  SECTION("completing fails inside a 200") {
    for (int i = 0; i < 3; i++) s.Answer(200, "", {{"etag", "e"}});
    s.Error(200, "InternalError");
    s.Answer(204);
    Status put = s.client->Put("k", AsBytes(body));
    CHECK(put.code() == Code::kUnavailable);
    CHECK(s.transport->asked.back().method == "DELETE");
  }
}

TEST_CASE("ranges that the server ignores are cut here") {
  Scripted s;
  s.Answer(200, "0123456789");
  CHECK(*s.client->Get("k", {.offset = 2, .length = 3}) == "234");
  CHECK(s.transport->asked.back().Header("range") == "bytes=2-4");
  s.Answer(200, "0123456789");
  CHECK(*s.client->Get("k", {.offset = -3, .length = 3}) == "789");
  CHECK(s.transport->asked.back().Header("range") == "bytes=-3");
  s.Answer(206, "789");
  CHECK(*s.client->Get("k", {.offset = -3, .length = 2}) == "78");
}

TEST_CASE("an ETag is the same with quotes and without, and made weak on the way") {
  for (const char* etag : {"\"781e\"", "781e", "W/\"781e\""}) {
    Scripted s;
    s.Answer(200, "0123456789", {{"etag", etag}});
    ObjectPart part;
    CHECK(s.client->Get("k", {.offset = 2, .length = 3, .part = &part}).ok());
    CHECK(part.etag == "781e");
  }
}

TEST_CASE("a web page is no answer to anything") {
  const std::string page = GENERATE(
      "<!DOCTYPE html><title>Log in</title>", "\xef\xbb\xbf\n <HTML lang=en>",
      "<?xml version=\"1.0\"?><!-- the hotel's --><!doctype HTML PUBLIC \"-//W3C\"><html>");
  Scripted s;
  s.Answer(200, page);
  const Status got = s.client->Get("backstay.json").status();
  CHECK(got.code() == Code::kUnavailable);
  CHECK(got.retryable());
  CHECK_THAT(got.message(), Catch::Contains("GET s3://bkt/app/backstay.json at http://127"));
  CHECK_THAT(got.message(), Catch::Contains("a proxy, a login page"));
  s.Answer(200, page);
  CHECK(s.client->Get("k", {.offset = 1, .length = 4}).status().code() == Code::kUnavailable);
  // What was sent to it is not stored.
  s.Answer(200, page);
  CHECK(s.client->Put("k", AsBytes("v")).code() == Code::kUnavailable);
  s.Answer(200, page);
  CHECK(s.client->Delete({"k"}).code() == Code::kUnavailable);
}

TEST_CASE("what only looks like a web page is an object") {
  Scripted s;
  s.Answer(206, "<html>");
  CHECK(*s.client->Get("k", {.offset = 9, .length = 6}) == "<html>");
  s.Answer(200, "<!-- html");
  CHECK(*s.client->Get("k") == "<!-- html");
  s.Answer(200, "", {{"content-type", "text/html"}, {"content-length", "0"}});
  CHECK(s.client->Put("k", AsBytes("v")).ok());
}

TEST_CASE("deletes go in batches of a thousand") {
  Scripted s;
  std::vector<std::string> keys;
  for (int i = 0; i < 1002; i++) keys.push_back("k&" + std::to_string(i));
  s.Answer(200, "<DeleteResult/>");
  s.Answer(200, "<DeleteResult/>");
  CHECK(s.client->Delete(keys).ok());
  REQUIRE(s.transport->asked.size() == 2);
  CHECK(s.transport->asked[0].method == "POST");
  CHECK(s.transport->asked[0].url == "http://127.0.0.1:9000/bkt/?delete=");
  CHECK(s.transport->asked[1].body ==
        "<Delete><Quiet>true</Quiet><Object><Key>app/k&amp;1000</Key></Object><Object><Key>"
        "app/k&amp;1001</Key></Object></Delete>");
  CHECK(s.transport->asked[1].Header("content-md5") == "zZZ9qsH4Xn4U2Ew23wSCww==");
}

TEST_CASE("deletes that fail, and servers that cannot do batches") {
  Scripted s;
  SECTION("one key is refused") {
    s.Answer(200,
             "<DeleteResult><Error><Key>app/a</Key><Code>NoSuchKey</Code></Error><Error><Key>app/b"
             "</Key><Code>AccessDenied</Code></Error></DeleteResult>");
    Status deleted = s.client->Delete({"a", "b"});
    CHECK(deleted.code() == Code::kDenied);
    CHECK_THAT(deleted.message(), Catch::Contains("s3://bkt/app/b"));
  }
  SECTION("one by one after NotImplemented, and from then on") {
    s.Error(501, "NotImplemented");
    for (int i = 0; i < 4; i++) s.Answer(204);
    CHECK(s.client->Delete({"a", "b"}).ok());
    CHECK(s.client->Delete({"c", "d"}).ok());
    REQUIRE(s.transport->asked.size() == 5);
    CHECK(s.transport->asked[2].method == "DELETE");
    CHECK(s.transport->asked[2].url == "http://127.0.0.1:9000/bkt/app/b");
  }
  SECTION("a key that XML cannot hold goes alone") {
    s.Answer(204);
    s.Answer(204);
    CHECK(s.client->Delete({"a\x01", "b"}).ok());
    CHECK(s.transport->asked[0].url == "http://127.0.0.1:9000/bkt/app/a%01");
  }
}

TEST_CASE("Retry-After is remembered until the next answer") {
  Scripted s;
  s.Answer(503, "", {{"retry-after", "7"}});
  CHECK(s.client->Put("k", {}).retryable());
  CHECK(s.client->RetryAfterMs() == 7000);
  s.Answer(503, "", {{"retry-after", "Fri, 24 May 2013 00:00:03 GMT"}});
  CHECK_FALSE(s.client->Put("k", {}).ok());
  CHECK(s.client->RetryAfterMs() == 3000);
  s.Answer(200);
  CHECK(s.client->Put("k", {}).ok());
  CHECK(s.client->RetryAfterMs() == 0);
  s.Answer(503, "", {{"retry-after", "7"}});
  CHECK_FALSE(s.client->Put("k", {}).ok());
  CHECK(s.client->RetryAfterMs() == 7000);
  // The server went away.
  s.transport->script.push_back({Status(Code::kUnavailable, "connection refused", true), {}});
  CHECK(s.client->Put("k", {}).retryable());
  CHECK(s.client->RetryAfterMs() == 0);
}

TEST_CASE("counters") {
  Scripted s;
  s.Answer(200);
  s.Answer(200, "12345");
  CHECK(s.client->Put("k", AsBytes("abc")).ok());
  CHECK(s.client->Get("k").ok());
  CHECK(s.client->Counters().requests == 2);
  CHECK(s.client->Counters().bytes_sent == 3);
  CHECK(s.client->Counters().bytes_received == 5);
}

TEST_CASE("requests are counted by kind and answer") {
  Scripted s;
  for (int code : {200, 503, 200}) s.Answer(code);
  CHECK(s.client->Put("k", AsBytes("abc")).ok());
  CHECK_FALSE(s.client->PutIfAbsent("k", AsBytes("abc")).ok());
  CHECK(s.client->Get("k").ok());
  s.Answer(404);
  CHECK_FALSE(s.client->Get("k").ok());
  s.Answer(200, ListXml("", ""));
  CHECK(s.client->List({}).ok());
  s.Answer(204);
  CHECK(s.client->Delete({"k"}).ok());
  s.Answer(200, "<DeleteResult></DeleteResult>");
  CHECK(s.client->Delete({"k", "l"}).ok());
  std::string told;
  for (const RequestCount& each : s.client->Counters().by_kind) {
    told += std::string(NameOf(each.kind)) + " " + std::to_string(each.code) + " " +
            std::to_string(each.requests) + "\n";
  }
  CHECK(told ==
        "put 200 1\nput 503 1\nget 200 1\nget 404 1\nlist 200 1\ndelete 200 1\ndelete 204 1\n");
}

}  // namespace backstay
