// An HttpTransport that answers from a script and keeps what it was asked.
//
// For the tests of the S3 client: one thread, no network. When the script is over, kUnavailable.

#ifndef BACKSTAY_TESTS_UNIT_S3_FAKE_TRANSPORT_H_
#define BACKSTAY_TESTS_UNIT_S3_FAKE_TRANSPORT_H_

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/catch.h"
#include "uploader/base/clock.h"
#include "uploader/storage/s3_client.h"

namespace backstay {

class FakeTransport : public HttpTransport {
 public:
  struct Step {
    Status error;           // in place of the response, unless Ok
    HttpResponse response;  // what had come of it, with an error
  };
  struct Asked {
    std::string method, url, body;
    std::vector<std::pair<std::string, std::string>> headers;
    bool resend;

    std::string Header(const std::string& name) const {
      for (const auto& [key, value] : headers) {
        if (key == name) return value;
      }
      return "";
    }
  };

  Result<HttpResponse> Send(const HttpRequest& request) override {
    asked.push_back({request.method, request.url, std::string(AsString(request.body)),
                     request.headers, request.resend});
    if (script.empty()) return Status(Code::kUnavailable, "the script is over", true);
    Step next = std::move(script.front());
    script.pop_front();
    if (!next.error.ok() && request.partial != nullptr) *request.partial = next.response;
    if (!next.error.ok()) return next.error;
    return std::move(next.response);
  }
  void Cancel() override {}

  std::deque<Step> script;
  std::vector<Asked> asked;
};

class FixedClock : public Clock {
 public:
  int64_t WallMs() override { return 1369353600000; }  // 2013-05-24T00:00:00Z
  int64_t MonotonicMs() override { return 0; }
};

// A client with a script in place of a server: http://127.0.0.1:9000, bucket "bkt", path "app".
struct Scripted {
  explicit Scripted(std::shared_ptr<RetryBuckets> retries = nullptr) { Make({}, Usual(), retries); }

  static ReplicaSettings Usual() {
    ReplicaSettings replica;
    replica.type = "s3";
    replica.bucket = "bkt";
    replica.path = "app";
    replica.endpoint = "http://127.0.0.1:9000";
    replica.access_key_id = "AKIAIOSFODNN7EXAMPLE";
    replica.secret_access_key = "example-secret";
    replica.session_token = "example-token";
    return replica;
  }

  void Make(SilenceWords words = {}, const ReplicaSettings& replica = Usual(),
            const std::shared_ptr<RetryBuckets>& retries = nullptr) {
    auto fake = std::make_unique<FakeTransport>();
    transport = fake.get();
    Result<std::unique_ptr<ReplicaClient>> made =
        S3ReplicaClient::Make({.replica = replica,
                               .transport = std::move(fake),
                               .clock = &clock,
                               .multipart_threshold = 20,
                               .part_size = 10,
                               .silence = std::move(words),
                               .retries = retries});
    REQUIRE(made.ok());
    client = std::move(*made);
  }

  // Adds an answer to the script.
  void Answer(int status, std::string body = "",
              std::vector<std::pair<std::string, std::string>> headers = {}) {
    transport->script.push_back({Status::Ok(), {status, std::move(headers), std::move(body)}});
  }
  void Error(int status, const std::string& code, const std::string& more = "") {
    Answer(status, "<Error><Code>" + code + "</Code>" + more + "</Error>");
  }

  FixedClock clock;
  FakeTransport* transport = nullptr;  // owned by the client
  std::unique_ptr<ReplicaClient> client;
};

}  // namespace backstay

#endif  // BACKSTAY_TESTS_UNIT_S3_FAKE_TRANSPORT_H_
