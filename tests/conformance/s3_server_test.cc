// What only a real S3 server can show of the S3 client: multipart, refusals, cancelling.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <string>
#include <thread>
#include <vector>

#include "tests/conformance/storage_backend.h"
#include "tests/support/catch.h"
#include "uploader/base/file.h"
#include "uploader/storage/client_factory.h"
#include "uploader/storage/s3_client.h"

namespace backstay {
namespace {

constexpr size_t kMiB = 1 << 20;

// Accepts one connection on a free port of 127.0.0.1 and never answers.
class SilentServer {
 public:
  SilentServer() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(listen(listener_.get(), 1) == 0);
    socklen_t size = sizeof address;
    REQUIRE(getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
  }

  std::string Endpoint() const { return "http://127.0.0.1:" + std::to_string(port_); }

  // Returns once a client has connected and sent the first byte of its request.
  void WaitForRequest() {
    connection_ = Fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char byte = 0;
    REQUIRE(recv(connection_.get(), &byte, 1, 0) == 1);
  }

 private:
  Fd listener_;
  Fd connection_;
  int port_ = 0;
};

Status ListStatus(const ReplicaSettings& settings) {
  Result<std::unique_ptr<ReplicaClient>> client = MakeReplicaClient(settings);
  REQUIRE(client.ok());
  return (*client)->List({}).status();
}

}  // namespace

TEST_CASE("a large object goes in parts", "[s3]") {
  Backend backend;
  Result<std::unique_ptr<ReplicaClient>> client = S3ReplicaClient::Make(
      {.replica = backend.settings(), .multipart_threshold = 5 * kMiB, .part_size = 5 * kMiB});
  REQUIRE(client.ok());
  std::string body(12 * kMiB + 345, '\0');
  for (size_t i = 0; i < body.size(); i++) body[i] = static_cast<char>(i * i >> 8);
  Status put = (*client)->Put("odd key +", AsBytes(body));
  INFO(put.ToString());
  REQUIRE(put.ok());
  // One to start, three parts, one to complete.
  CHECK((*client)->Counters().requests == 5);
  Result<std::string> got = (*client)->Get("odd key +", {});
  REQUIRE(got.ok());
  CHECK((*got == body));
}

TEST_CASE("parts that are too small are refused and nothing appears", "[s3]") {
  Backend backend;
  Result<std::unique_ptr<ReplicaClient>> client = S3ReplicaClient::Make(
      {.replica = backend.settings(), .multipart_threshold = 10, .part_size = 10});
  REQUIRE(client.ok());
  Status put = (*client)->Put("k", AsBytes("0123456789abcdef"));
  CHECK(put.code() == Code::kInvalid);
  CHECK_THAT(put.message(), Catch::Contains("EntityTooSmall"));
  CHECK((*client)->Get("k", {}).status().code() == Code::kNotFound);
}

TEST_CASE("a missing bucket names itself and the remedy", "[s3]") {
  Backend backend;
  ReplicaSettings settings = backend.settings();
  settings.bucket = "no-such-bucket-here";
  Status list = ListStatus(settings);
  CHECK(list.code() == Code::kNoBucket);
  CHECK_THAT(list.message(), Catch::Contains("no-such-bucket-here") &&
                                 Catch::Contains("create it") &&
                                 Catch::Contains(settings.endpoint));
}

TEST_CASE("a wrong secret is kDenied and is not shown", "[s3]") {
  Backend backend;
  ReplicaSettings settings = backend.settings();
  std::string right = settings.secret_access_key;
  settings.secret_access_key = "wrong-secret-0123456789";
  Status list = ListStatus(settings);
  CHECK(list.code() == Code::kDenied);
  CHECK_FALSE(list.retryable());
  CHECK_THAT(list.message(), Catch::Contains("SignatureDoesNotMatch") &&
                                 Catch::Contains("secret access key") &&
                                 !Catch::Contains("wrong-secret") && !Catch::Contains(right));
}

TEST_CASE("a clock that is an hour off is told, and put right by the server's", "[s3]") {
  class LateClock : public Clock {
   public:
    int64_t WallMs() override { return RealClock()->WallMs() - 3600 * 1000; }
    int64_t MonotonicMs() override { return RealClock()->MonotonicMs(); }
  };
  Backend backend;
  LateClock clock;
  std::vector<std::string> told;
  Result<std::unique_ptr<ReplicaClient>> client = S3ReplicaClient::Make(
      {.replica = backend.settings(),
       .clock = &clock,
       .silence = {.begins = [&](const std::string& text) { told.push_back(text); }}});
  REQUIRE(client.ok());
  for (int i = 0; i < 2; ++i) {
    Status put = (*client)->Put("k", AsBytes("v"));
    INFO(put.ToString());
    CHECK(put.ok());
  }
  CHECK((*client)->Counters().requests == 3);
  REQUIRE(told.size() == 1);
  CHECK_THAT(told.front(), Catch::Contains("clock is 60 min behind"));
}

TEST_CASE("nobody listens: kUnavailable, retryable, with the endpoint", "[s3]") {
  Backend backend;
  ReplicaSettings settings = backend.settings();
  settings.endpoint = "http://127.0.0.1:1";
  Status list = ListStatus(settings);
  CHECK(list.code() == Code::kUnavailable);
  CHECK(list.retryable());
  CHECK_THAT(list.message(), Catch::Contains("http://127.0.0.1:1"));
}

TEST_CASE("Cancel ends a call that waits for the server", "[s3]") {
  Backend backend;
  SilentServer server;
  ReplicaSettings settings = backend.settings();
  settings.endpoint = server.Endpoint();
  Result<std::unique_ptr<ReplicaClient>> client = MakeReplicaClient(settings);
  REQUIRE(client.ok());
  Status put;
  std::thread caller([&] { put = (*client)->Put("k", AsBytes("x")); });
  server.WaitForRequest();
  (*client)->Cancel();
  caller.join();
  CHECK(put.code() == Code::kCancelled);
}

}  // namespace backstay
