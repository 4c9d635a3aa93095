// What servers, and what stands before them, get wrong: each oddity against each operation, over
// real HTTP. Either it is understood, or it is an error that says what is wrong; never "there is
// nothing", which would be taken for an empty replica.

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/support/catch.h"
#include "tests/unit/s3_http_server.h"
#include "uploader/storage/s3_client.h"

namespace backstay {
namespace {

enum Operation { kPut, kPutIfAbsent, kGet, kRange, kList, kFolders, kDelete, kDeleteMany };
constexpr Operation kOperations[] = {kPut,  kPutIfAbsent, kGet,    kRange,
                                     kList, kFolders,     kDelete, kDeleteMany};
constexpr const char* kNames[] = {"put",  "put if absent", "get",    "ranged get",
                                  "list", "folders",       "delete", "delete many"};

const std::string kObject = "0123456789";

std::string Error(const std::string& code) {
  return "<?xml version=\"1.0\"?>\n<Error><Code>" + code + "</Code></Error>";
}

std::string ListXml(const std::string& items,
                    const std::string& end = "<IsTruncated>false</IsTruncated>") {
  return "<ListBucketResult><Prefix>app/</Prefix>" + end + items + "</ListBucketResult>";
}
std::string Contents(const std::string& key) {
  return "<Contents><Key>" + key + "</Key><Size>10</Size></Contents>";
}
std::string Folder(const std::string& prefix) {
  return "<CommonPrefixes><Prefix>" + prefix + "</Prefix></CommonPrefixes>";
}

struct Wire {
  int status = 200;
  std::string body = {};
  std::vector<std::string> headers = {};
  bool length = true;  // says how long the body is

  std::string Text() const {
    std::string out = "HTTP/1.1 " + std::to_string(status) + " Whatever\r\n";
    for (const std::string& header : headers) out += header + "\r\n";
    const bool none = status == 204;
    if (length && !none) out += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    return out + "\r\n" + body;
  }
};

// As S3 answers.
Wire Proper(Operation operation) {
  switch (operation) {
    case kPut:
    case kPutIfAbsent: return {.headers = {"ETag: \"781e5e245d69b566979b86e28d23f2c7\""}};
    case kGet: return {.body = kObject, .headers = {"ETag: \"781e5e245d69b566979b86e28d23f2c7\""}};
    case kRange: return {.status = 206, .body = "234", .headers = {"Content-Range: bytes 2-4/10"}};
    case kList: return {.body = ListXml(Contents("app/log/1") + Contents("app/log/2"))};
    case kFolders: return {.body = ListXml(Folder("app/log/") + Folder("app/snapshot/"))};
    case kDelete: return {.status = 204};
    case kDeleteMany: return {.body = "<DeleteResult/>"};
  }
  return {};
}

// What came of it, as text; Proper() gives kRight.
Result<std::string> Run(ReplicaClient* client, Operation operation) {
  const auto done = [](const Status& status) {
    return status.ok() ? Result<std::string>("done") : Result<std::string>(status);
  };
  if (operation == kPut) return done(client->Put("k", AsBytes(kObject)));
  if (operation == kPutIfAbsent) return done(client->PutIfAbsent("k", AsBytes(kObject)));
  if (operation == kGet) return client->Get("k");
  if (operation == kRange) return client->Get("k", {.offset = 2, .length = 3});
  if (operation == kDelete) return done(client->Delete({"k"}));
  if (operation == kDeleteMany) return done(client->Delete({"k", "l"}));
  Result<std::vector<ObjectInfo>> listed = client->List({.folders = operation == kFolders});
  if (!listed.ok()) return listed.status();
  std::string out;
  for (const ObjectInfo& object : *listed) out += object.key + " ";
  return out;
}

const std::map<Operation, std::string> kRight = {
    {kPut, "done"},    {kPutIfAbsent, "done"},  {kGet, kObject},
    {kRange, "234"},   {kList, "log/1 log/2 "}, {kFolders, "log/ snapshot/ "},
    {kDelete, "done"}, {kDeleteMany, "done"}};

std::unique_ptr<ReplicaClient> ClientOf(const ScriptedServer& server,
                                        const std::string& path = "app") {
  ReplicaSettings replica;
  replica.type = "s3";
  replica.bucket = "bkt";
  replica.path = path;
  replica.endpoint = server.Url();
  replica.access_key_id = "AKIAIOSFODNN7EXAMPLE";
  replica.secret_access_key = "example-secret";
  Result<std::unique_ptr<ReplicaClient>> made =
      S3ReplicaClient::Make({.replica = replica, .patience_ms = 5000});
  REQUIRE(made.ok());
  return std::move(*made);
}

struct Expected {
  Code code = Code::kOk;  // understood
  const char* says = "";
};
const Expected kUnderstood{};

struct Quirk {
  const char* name;
  std::function<std::string(Operation)> answer;
  Expected all = kUnderstood;              // of every operation
  std::map<Operation, Expected> but = {};  // save these
};

std::function<std::string(Operation)> Always(const Wire& wire) {
  return [wire](Operation) { return wire.Text(); };
}

// A proper answer with something done to it.
std::function<std::string(Operation)> With(const std::function<void(Wire*)>& change) {
  return [change](Operation operation) {
    Wire wire = Proper(operation);
    change(&wire);
    return wire.Text();
  };
}

std::function<std::string(Operation)> WithHeader(const std::string& header) {
  return With([header](Wire* wire) { wire->headers.push_back(header); });
}

std::string Chunked(const Wire& wire) {
  Wire head = wire;
  head.body.clear();
  head.length = false;
  head.headers.emplace_back("Transfer-Encoding: chunked");
  char size[32];
  snprintf(size, sizeof size, "%zx\r\n", wire.body.size());
  return head.Text() + (wire.body.empty() ? "" : size + wire.body + "\r\n") + "0\r\n\r\n";
}

const Expected kNotS3{Code::kInvalid, "correct the endpoint"};
const Expected kNotTheBucket{Code::kInvalid, "is never `not found`, so this is not the bucket"};
const Expected kPage{Code::kUnavailable, "a web page"};
const Expected kCompressed{Code::kUnavailable, "is compressed (gzip)"};
const Expected kNoXml{Code::kUnavailable, "is this an S3 endpoint?"};
const Expected kPassing{Code::kUnavailable, ""};

// Of S3's own or of somebody on the way, who has something to say.
const std::vector<Quirk> kWords = {
    {"as it should be", With([](Wire*) {})},
    {"404 without S3's XML", Always({404, "not found\n"}), kNotS3},
    {"404 with a web page", Always({404, "<html>404 page not found</html>"}), kNotS3},
    {"404 with nothing", Always({404}), kNotS3},
    {"404 in JSON", Always({404, R"({"code":"NoSuchKey"})"}), kNotS3},
    {"404 NoSuchKey to everything",
     Always({404, Error("NoSuchKey")}),
     kNotTheBucket,
     {{kGet, {Code::kNotFound, "NoSuchKey"}},
      {kRange, {Code::kNotFound, "NoSuchKey"}},
      {kDelete, kUnderstood}}},
    {"404 NoSuchBucket", Always({404, Error("NoSuchBucket")}), {Code::kNoBucket, "create it"}},
    {"200 with an error inside",
     Always({200, Error("InternalError")}),
     {Code::kUnavailable, "InternalError"}},
    {"200 with `NoSuchKey` inside",
     Always({200, "\n" + Error("NoSuchKey")}),
     {Code::kUnavailable, "NoSuchKey"}},
    {"a login page", Always({200, "<!DOCTYPE html><title>Log in</title>"}), kPage},
    {"gzip by a proxy",
     WithHeader("Content-Encoding: gzip"),
     kCompressed,
     {{kPut, kUnderstood}, {kPutIfAbsent, kUnderstood}, {kDelete, kUnderstood}}},
    {"gzip by a proxy, of a 404", Always({404, "\x1f\x8b\x08", {"Content-Encoding: gzip"}}),
     kCompressed},
    {"the way it was sent is repeated", WithHeader("Content-Encoding: aws-chunked")},
    {"an answer that no server gave",
     Always({203, kObject}),
     {Code::kUnavailable, "203"},
     {{kPut, kUnderstood},
      {kPutIfAbsent, kUnderstood},
      {kDelete, kUnderstood},
      {kList, kNoXml},
      {kFolders, kNoXml},
      {kDeleteMany, kNoXml}}},
    {"204 in place of what was asked for",
     Always({204}),
     {Code::kUnavailable, "204"},
     {{kPut, kUnderstood},
      {kPutIfAbsent, kUnderstood},
      {kDelete, kUnderstood},
      {kList, kNoXml},
      {kFolders, kNoXml},
      {kDeleteMany, kNoXml}}},
};

// What is around the words.
const std::vector<Quirk> kForms = {
    {"an ETag without quotes",
     With([](Wire* wire) { wire->headers = {"ETag: 781e5e245d69b566979b86e28d23f2c7"}; }),
     kUnderstood},
    {"no ETag", With([](Wire* wire) { wire->headers.clear(); })},
    {"a Date", WithHeader("Date: Fri, 24 May 2013 00:00:00 GMT")},
    {"a Date that is none", WithHeader("Date: yesterday")},
    {"the connection is closed at once", WithHeader("Connection: close")},
    {"the end of the body is the end of the connection", With([](Wire* wire) {
       wire->headers.emplace_back("Connection: close");
       wire->length = false;
     })},
    {"chunks", [](Operation operation) { return Chunked(Proper(operation)); }},
    {"100 Continue, which was not asked for",
     [](Operation operation) {
       return "HTTP/1.1 100 Continue\r\n\r\n" + Proper(operation).Text();
     }},
    {"no answer at all", [](Operation) { return std::string(); }, kPassing},
    {"403 with nothing", Always({403}), {Code::kDenied, "check the credentials"}},
    {"a proxy that wants a password", Always({407, "who are you?"}), {Code::kInvalid, "407"}},
    {"502 with a web page", Always({502, "<html>bad gateway"}), {Code::kUnavailable, "502"}},
    {"503 with nothing", Always({503}), {Code::kUnavailable, "503"}},
    {"429 with nothing", Always({429}), {Code::kUnavailable, "429"}},
};

void Check(const Quirk& quirk, Operation operation) {
  INFO(quirk.name << ": " << kNames[operation]);
  ScriptedServer server({quirk.answer(operation)});
  std::unique_ptr<ReplicaClient> client = ClientOf(server);
  Result<std::string> got = Run(client.get(), operation);
  const auto but = quirk.but.find(operation);
  const Expected& expected = but == quirk.but.end() ? quirk.all : but->second;
  INFO(got.status().ToString());
  CHECK(got.status().code() == expected.code);
  if (got.ok()) {
    CHECK(*got == kRight.at(operation));
  } else {
    CHECK_THAT(got.status().message(), Catch::Contains(expected.says));
    CHECK_THAT(got.status().message(), Catch::Contains("s3://bkt"));
  }
}

}  // namespace

TEST_CASE("what servers get wrong, against every operation") {
  for (const std::vector<Quirk>* quirks : {&kWords, &kForms}) {
    for (const Quirk& quirk : *quirks) {
      for (Operation operation : kOperations) Check(quirk, operation);
    }
  }
}

TEST_CASE("what servers get wrong in lists") {
  const auto list = [](const std::string& xml) { return Always({200, xml}); };
  const Expected misfit{Code::kUnavailable, "the list does not answer what was asked"};
  const Quirk objects[] = {
      {"out of order, and twice",
       list(ListXml(Contents("app/log/2") + Contents("app/log/1") + Contents("app/log/2")))},
      {"encoded without a word",
       list(ListXml(Contents("app%2Flog%2F1") + Contents("app%2Flog%2F2")))},
      {"the end is not told", list(ListXml(Contents("app/log/1"), "")), misfit},
      {"more follows, and no way to it",
       list(ListXml(Contents("app/log/1"), "<IsTruncated>true</IsTruncated>")),
       {Code::kUnavailable, "cut off"}},
      {"of another prefix", list(ListXml(Contents("other/log/1"))), misfit},
      {"nothing, of another prefix",
       list("<ListBucketResult><Prefix>other/</Prefix><IsTruncated>false</IsTruncated>"
            "</ListBucketResult>"),
       misfit},
      {"404 NoSuchKey where nothing is", Always({404, Error("NoSuchKey")}), kNotTheBucket},
      {"an object without a size", list(ListXml("<Contents><Key>app/log/1</Key></Contents>")),
       misfit},
      {"cut off in the middle", list("<ListBucketResult><IsTruncated>false</IsTruncated><Cont"),
       kNoXml},
      {"not in XML", list(R"({"Contents":[]})"), kNoXml},
      {"nothing at all", list(""), kNoXml},
  };
  for (const Quirk& quirk : objects) Check(quirk, kList);
  const Quirk folders[] = {
      {"encoded without a word",
       list(ListXml(Folder("app%2Flog%2F") + Folder("app%2fsnapshot%2f")))},
      {"without the slash",
       list(ListXml(Folder("app/log") + Folder("app/snapshot"))),
       {Code::kUnavailable, "does not end with its slash"}},
      {"the delimiter is ignored",
       list(ListXml(Contents("app/log/1"))),
       {Code::kUnavailable, "is not cut at the delimiter"}},
  };
  for (const Quirk& quirk : folders) Check(quirk, kFolders);
}

TEST_CASE("keys at the root of a bucket that are encoded without a word") {
  ScriptedServer server(
      {Wire{.body = ListXml(Contents("log%2F1") + Contents("backstay.json"))}.Text(),
       Wire{.body = ListXml(Contents("log/1%2F") + Contents("50%25"))}.Text()});
  const std::unique_ptr<ReplicaClient> client = ClientOf(server, "");
  Result<std::vector<ObjectInfo>> listed = client->List({});
  REQUIRE(listed.ok());
  REQUIRE(listed->size() == 2);
  CHECK(listed->at(0).key == "backstay.json");
  CHECK(listed->at(1).key == "log/1");
  // A slash that stands as it is: nothing is encoded.
  listed = client->List({});
  REQUIRE(listed.ok());
  REQUIRE(listed->size() == 2);
  CHECK(listed->at(0).key == "50%25");
  CHECK(listed->at(1).key == "log/1%2F");
}

TEST_CASE("what servers get wrong in ranges") {
  const auto range = [](int status, const std::string& body, const std::string& said) {
    return Always({status, body, {"Content-Range: " + said}});
  };
  const Expected other{Code::kUnavailable, "another part of the object than was asked for"};
  const Quirk ranges[] = {
      {"all of it", Always({200, kObject})},
      {"more than was asked for", range(206, "23456789", "bytes 2-9/10")},
      {"without a word", Always({206, "234"})},
      {"of an object of unknown size", range(206, "234", "bytes 2-4/*")},
      {"another part", range(206, "345", "bytes 3-5/10"), other},
      {"the beginning", range(206, "012", "bytes 0-2/10"), other},
      {"refused though it is there",
       range(416, Error("InvalidRange"), "bytes */10"),
       {Code::kUnavailable, "refuses a range"}},
      {"refused by somebody else", Always({416, "no"}), {Code::kUnavailable, "not S3's"}},
  };
  for (const Quirk& quirk : ranges) Check(quirk, kRange);
  const Quirk whole[] = {
      {"all of it, as a part", range(206, kObject, "bytes 0-9/10")},
      {"a part of it", range(206, "01234", "bytes 0-4/10"), other},
      {"the end of it", range(206, "56789", "bytes 5-9/10"), other},
      {"a part, and not of what", Always({206, "01234"}), other},
  };
  for (const Quirk& quirk : whole) Check(quirk, kGet);
}

TEST_CASE("a range behind the end holds nothing") {
  for (const char* said : {"bytes */2", "bytes */0"}) {
    ScriptedServer server(
        {Wire{416, Error("InvalidRange"), {std::string("Content-Range: ") + said}}.Text()});
    Result<std::string> got = ClientOf(server)->Get("k", {.offset = 2, .length = 3});
    REQUIRE(got.ok());
    CHECK(got->empty());
  }
}

TEST_CASE("the end of an object that is shorter than that is all of it") {
  const std::string refused = Wire{416, Error("InvalidRange")}.Text();
  ScriptedServer server({refused, Wire{.body = "01"}.Text(), refused, Wire{}.Text(), refused,
                         Wire{404, Error("NoSuchKey")}.Text(), refused,
                         Wire{.body = kObject}.Text()});
  std::unique_ptr<ReplicaClient> client = ClientOf(server);
  const GetOptions end{.offset = -3, .length = 3};
  CHECK(*client->Get("k", end) == "01");
  CHECK_THAT(server.Requests().at(1), !Catch::Contains("Range:"));
  CHECK(client->Get("k", end)->empty());
  CHECK(client->Get("k", end).status().code() == Code::kNotFound);
  // It has the range, and is refused all the same.
  CHECK(client->Get("k", end).status().code() == Code::kInvalid);
}

TEST_CASE("no answer is asked to be compressed") {
  ScriptedServer server({Proper(kGet).Text()});
  REQUIRE(ClientOf(server)->Get("k").ok());
  CHECK_THAT(server.Requests().at(0), Catch::Contains("\r\nAccept-Encoding: identity\r\n"));
}

}  // namespace backstay
