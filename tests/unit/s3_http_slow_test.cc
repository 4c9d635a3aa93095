// CurlTransport against a server that takes its time.

#include <string>

#include "tests/support/catch.h"
#include "tests/unit/s3_http_server.h"
#include "uploader/storage/http.h"

namespace backstay {

TEST_CASE("a request that only trickles is given up in the end, with what it has") {
  std::string slow = "HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n";
  std::string fast = slow;
  for (int i = 0; i < 400; i++) slow.append(15, 'b').append(1, ScriptedServer::kPause);
  for (int i = 0; i < 30; i++) fast.append(2000, 'b').append(1, ScriptedServer::kPause);
  ScriptedServer server({slow, fast});
  CurlTransport transport({.request_timeout_ms = 600});
  HttpRequest request;
  request.method = "GET";
  request.url = server.Url();
  HttpResponse partial;
  request.partial = &partial;
  const Status status = transport.Send(request).status();
  CHECK(status.code() == Code::kUnavailable);
  CHECK(status.retryable());
  CHECK_THAT(status.message(), Catch::Contains("took longer than"));
  CHECK(partial.status == 200);
  CHECK_FALSE(partial.body.empty());
  CHECK(partial.body.size() < 6000);
  CHECK(transport.Send(request)->body.size() == 60000);
}

}  // namespace backstay
