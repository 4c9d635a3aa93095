// An object whose connection breaks in the middle, over real sockets: the rest is asked for by
// range, and what is put together is of one object.

#include <string>

#include "tests/support/catch.h"
#include "tests/unit/s3_http_server.h"
#include "uploader/replica/reader.h"
#include "uploader/storage/s3_client.h"

namespace backstay {
namespace {

constexpr size_t kAll = 300000;
constexpr uint64_t kOffset = 1000;

std::string Object(unsigned seed) {
  std::string bytes(kAll, ' ');
  for (char& byte : bytes) byte = static_cast<char>((seed = seed * 1664525 + 1013904223) >> 24);
  // It would be a pause of the server's.
  for (char& byte : bytes) byte = byte == ScriptedServer::kPause ? ' ' : byte;
  return bytes;
}

// Bytes [from, to) of a range that ends with the object, of which the connection breaks at `to`.
std::string Range(const std::string& object, const std::string& etag, size_t from, size_t to) {
  const std::string tag = etag.empty() ? "" : "ETag: \"" + etag + "\"\r\n";
  return "HTTP/1.1 206 Partial Content\r\nContent-Length: " + std::to_string(kAll - from) +
         "\r\nContent-Range: bytes " + std::to_string(from) + "-" + std::to_string(kAll - 1) + "/" +
         std::to_string(kAll) + "\r\n" + tag + "Connection: close\r\n\r\n" +
         object.substr(from, to - from);
}

// A server that knows no ranges and does not say how long its answer is.
std::string Whole(const std::string& object, size_t to) {
  return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nffffff\r\n" +
         object.substr(0, to);
}

struct Broken {
  explicit Broken(std::vector<std::string> steps) : server(std::move(steps)) {
    ReplicaSettings replica;
    replica.type = "s3";
    replica.bucket = "bkt";
    replica.endpoint = server.Url();
    replica.force_path_style = true;
    replica.access_key_id = "id";
    replica.secret_access_key = "secret";
    auto made = S3ReplicaClient::Make({.replica = replica});
    REQUIRE(made.ok());
    client = std::move(*made);
    RetryOptions retry;
    retry.sleep = [](int64_t) {};
    retry.attempts = 3;
    got = ReplicaReader(client.get(), retry).GetRange("object", kOffset, kAll - kOffset);
    for (const std::string& request : server.Requests()) {
      const size_t at = request.find("range: ") + 7;
      ranges.push_back(request.substr(at, request.find('\r', at) - at));
    }
  }

  ScriptedServer server;
  std::unique_ptr<ReplicaClient> client;
  Result<std::string> got = Status(Code::kInvalid, "nothing was asked");
  std::vector<std::string> ranges;
};

// One byte, then the connection is closed.
class Dripping : public ReplicaClient {
 public:
  std::string Describe() const override { return "a dripping server"; }
  Status Put(const std::string&, Bytes) override { return Status::Ok(); }
  Status PutIfAbsent(const std::string&, Bytes) override { return Status::Ok(); }
  Result<std::string> Get(const std::string&, const GetOptions& options) override {
    ++gets;
    *options.part = {"x", "a"};
    return Status(Code::kUnavailable, "connection closed", true);
  }
  Result<std::vector<ObjectInfo>> List(const ListOptions&) override {
    return std::vector<ObjectInfo>();
  }
  Status Delete(const std::vector<std::string>&) override { return Status::Ok(); }
  void Cancel() override {}
  ClientCounters Counters() const override { return {}; }

  int gets = 0;
};

std::string From(size_t offset) {
  return "bytes=" + std::to_string(offset) + "-" + std::to_string(kAll - 1);
}

}  // namespace

TEST_CASE("of an object whose connection breaks only the rest is fetched, as often as it gets on",
          "[replica]") {
  const std::string object = Object(1);
  const std::string etag = GENERATE("a", "");
  std::vector<std::string> steps;
  std::vector<std::string> asked;
  for (size_t at = kOffset; at < kAll; at += 50000) {
    steps.push_back(Range(object, etag, at, std::min(at + 50000, kAll)));
    asked.push_back(From(at));
    steps.push_back("");  // a connection that brings nothing changes nothing
    asked.push_back(From(std::min(at + 50000, kAll)));
  }
  asked.pop_back();
  Broken world(steps);
  INFO(world.got.status().ToString());
  REQUIRE(world.got.ok());
  CHECK((*world.got == object.substr(kOffset)));
  CHECK(world.ranges == asked);
}

TEST_CASE("a server that closes each connection behind a byte is asked with pauses, and given up",
          "[replica]") {
  Dripping client;
  int pauses = 0;
  RetryOptions retry;
  retry.attempts = GENERATE(1, 3);
  retry.sleep = [&](int64_t ms) { pauses += ms >= retry.least_delay_ms ? 1 : 0; };
  const Result<std::string> got = ReplicaReader(&client, retry).GetRange("object", 0, 1 << 20);
  CHECK(got.status().code() == Code::kUnavailable);
  CHECK(pauses == client.gets - 1);
  CHECK(client.gets < 1000);
}

TEST_CASE("an object that was replaced meanwhile is read anew, never put together of two",
          "[replica]") {
  const std::string before = Object(1);
  const std::string after = Object(2);
  const size_t second_breaks_at = GENERATE(as<size_t>{}, kAll, 200000);
  Broken world({Range(before, "a", kOffset, 100000), Range(after, "b", 100000, second_breaks_at),
                Range(after, "b", kOffset, kAll)});
  INFO(world.got.status().ToString());
  REQUIRE(world.got.ok());
  CHECK((*world.got == after.substr(kOffset)));
  CHECK(world.ranges == std::vector<std::string>{From(kOffset), From(100000), From(kOffset)});
}

TEST_CASE("a server that forgets the range sends the beginning, not the rest", "[replica]") {
  const std::string object = Object(1);
  Broken world(
      {Range(object, "", kOffset, 100000), Whole(object, 150000), Range(object, "", 150000, kAll)});
  INFO(world.got.status().ToString());
  REQUIRE(world.got.ok());
  CHECK((*world.got == object.substr(kOffset)));
  CHECK(world.ranges == std::vector<std::string>{From(kOffset), From(100000), From(150000)});
}

}  // namespace backstay
