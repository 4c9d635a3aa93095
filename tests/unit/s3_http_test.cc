// CurlTransport against a server of a few lines: what goes over the wire, and what comes back.

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/failing_new.h"
#include "tests/support/meant_leaks.h"
#include "tests/unit/s3_http_server.h"
#include "uploader/base/caught.h"
#include "uploader/storage/http.h"

namespace backstay {
namespace {

std::string Answer(const std::string& body, const std::string& status = "200 OK",
                   const std::string& headers = "") {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         headers + "\r\n" + body;
}

HttpRequest Request(const std::string& method, const std::string& url) {
  HttpRequest request;
  request.method = method;
  request.url = url;
  return request;
}

// All but the server's.
std::set<int> Sockets(const std::string& url) {
  const int port = std::stoi(url.substr(url.rfind(':') + 1));
  std::set<int> all;
  for (int fd = 3; fd < 256; fd++) {
    sockaddr_in own{};
    socklen_t n = sizeof own;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&own), &n) != 0) continue;
    if (own.sin_family != AF_INET || ntohs(own.sin_port) != port) all.insert(fd);
  }
  return all;
}

}  // namespace

TEST_CASE("what is asked arrives as it is, and nothing more") {
  ScriptedServer server({Answer("hello", "200 OK", "X-Odd: a: b \r\n")});
  CurlTransport transport;
  HttpRequest request = Request("PUT", server.Url() + "/b/../x//%20y/.?uploads=");
  request.headers = {{"host", "bkt.example.com"}, {"x-amz-date", "now"}};
  std::string body(3 << 20, 'x');
  request.body = AsBytes(body);
  Result<HttpResponse> response = transport.Send(request);
  INFO(response.status().ToString());
  REQUIRE(response.ok());
  CHECK(response->status == 200);
  CHECK(response->body == "hello");
  CHECK(response->Header("x-odd") == "a: b");
  CHECK(response->Header("never").empty());
  std::string seen = server.Requests().at(0);
  CHECK_THAT(seen.substr(0, 300), Catch::StartsWith("PUT /b/../x//%20y/.?uploads= HTTP/1.1\r\n") &&
                                      Catch::Contains("\r\nHost: bkt.example.com\r\n") &&
                                      Catch::Contains("\r\nx-amz-date: now\r\n") &&
                                      Catch::Contains("\r\nUser-Agent: backstay\r\n") &&
                                      !Catch::Contains("Upgrade") && !Catch::Contains("Expect") &&
                                      !Catch::Contains("Content-Type"));
  CHECK(seen.size() > body.size());
}

TEST_CASE("a server that accepts and is silent is told of once, long before it is given up") {
  const Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(listen(listener.get(), 1) == 0);
  REQUIRE(getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size) == 0);
  CurlTransport transport({.silence_ms = 100, .stall_timeout_ms = 800});
  HttpRequest request =
      Request("GET", "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
  int said = 0;
  request.on_silence = [&](const HttpSilence&) { ++said; };
  CHECK(transport.Send(request).status().retryable());
  CHECK(said == 1);
}

TEST_CASE("a server that sends next to nothing is given up, one that gets on never is") {
  const std::string pause(1, ScriptedServer::kPause);
  std::string heads = "HTTP/1.1 200 OK\r\n";
  std::string bytes = "HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n";
  std::string pieces = bytes;
  for (int i = 0; i < 60; i++) {
    heads += "X-More: of them\r\n" + pause;
    bytes += "b" + pause;
  }
  for (int i = 0; i < 9; i++) pieces.append(3, ScriptedServer::kPause).append(1000, 'b');
  ScriptedServer server({heads, bytes, pieces, pieces});
  CurlTransport transport({.silence_ms = 200, .stall_timeout_ms = 1000});
  HttpRequest request = Request("GET", server.Url());
  int said = 0;
  bool received = false;
  request.on_silence = [&](const HttpSilence& silence) {
    ++said;
    CHECK(silence.connected);
    CHECK(silence.limit_ms == 1000);
  };
  request.on_movement = [&](uint64_t bytes) { received |= bytes > 0; };
  for (const char* what : {"heads without end", "a byte now and then"}) {
    CAPTURE(what);
    Result<HttpResponse> response = transport.Send(request);
    CHECK_THAT(response.status().ToString(), Catch::Contains("silent for 1 s"));
    CHECK(response.status().retryable());
  }
  CHECK(said == 2);
  CHECK_FALSE(received);
  CHECK(transport.Send(request)->body.size() == 9000);
  CHECK(received);
}

TEST_CASE("a connection that is not made is told with its own limit") {
  ScriptedServer server({});  // never shakes hands
  CurlTransport transport({.connect_timeout_ms = 400, .silence_ms = 100});
  HttpRequest request = Request("GET", "https" + server.Url().substr(4));
  std::vector<int64_t> limits;
  request.on_silence = [&](const HttpSilence& silence) {
    CHECK_FALSE(silence.connected);
    limits.push_back(silence.limit_ms);
  };
  CHECK(transport.Send(request).status().retryable());
  CHECK(limits == std::vector<int64_t>{400});
}

TEST_CASE("empty bodies and methods without one") {
  ScriptedServer server({Answer(""), Answer(""), Answer(""), Answer("")});
  CurlTransport transport;
  for (const char* method : {"PUT", "DELETE", "POST", "GET"}) {
    REQUIRE(transport.Send(Request(method, server.Url() + "/k")).ok());
    CHECK_THAT(server.Requests().back(),
               Catch::StartsWith(std::string(method) + " /k HTTP/1.1\r\n"));
  }
  CHECK_THAT(server.Requests()[0], Catch::Contains("Content-Length: 0\r\n"));
  CHECK_THAT(server.Requests()[3], !Catch::Contains("Content-Length"));
}

TEST_CASE("consecutive requests share a connection") {
  ScriptedServer server(std::vector<std::string>(5, Answer("x")));
  CurlTransport transport;
  for (int i = 0; i < 5; i++) REQUIRE(transport.Send(Request("GET", server.Url())).ok());
  CHECK(server.connections() == 1);
}

TEST_CASE("a connection whose descriptors the application has closed is given up") {
  ScriptedServer server(std::vector<std::string>(2, Answer("x")));
  CurlTransport transport;
  MeantLeaks handle;
  const std::set<int> before = Sockets(server.Url());
  REQUIRE(transport.Send(Request("GET", server.Url())).ok());
  std::vector<std::pair<int, int>> taken;
  for (int fd : Sockets(server.Url())) {
    int ends[2];
    if (before.count(fd) != 0) continue;
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
    REQUIRE(dup2(ends[0], fd) == fd);
    close(ends[0]);
    taken.emplace_back(fd, ends[1]);
  }
  REQUIRE(!taken.empty());
  CHECK(transport.Send(Request("GET", server.Url())).ok());
  CHECK(server.connections() == 2);
  transport.Cancel();
  for (const auto& [fd, other] : taken) {
    char byte;
    CHECK(recv(other, &byte, 1, 0) < 0);
    CHECK(errno == EAGAIN);
    CHECK(fcntl(fd, F_GETFD) >= 0);
    close(fd);
    close(other);
  }
}

TEST_CASE("a body over the limit is refused, announced or not") {
  std::string chunk = "40\r\n" + std::string(64, 'x') + "\r\n";
  std::string chunked =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + chunk + "0\r\n\r\n";
  for (const std::string& step : {Answer(std::string(128, 'x')), chunked}) {
    ScriptedServer server({step, step});
    CurlTransport transport;
    HttpRequest request = Request("GET", server.Url());
    request.max_response = 127;
    Status status = transport.Send(request).status();
    CHECK(status.code() == Code::kInvalid);
    CHECK_THAT(status.message(), Catch::Contains("127 bytes"));
    request.max_response = 128;
    CHECK(transport.Send(request).ok());
  }
}

TEST_CASE("memory that runs out at any allocation fails one request, not the next") {
  fail_malloc = GENERATE(false, true);
  char name[16] = "";
  prctl(PR_GET_NAME, name);
  fail_on = "requester";
  // No Content-Length: the body grows as it comes.
  const std::string answer =
      "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Long: " + std::string(100, 'h') + "\r\n\r\n";
  uint32_t n = 1;
  for (bool failed = true; failed; ++n) {
    INFO("allocation " << n);
    ScriptedServer server({answer + std::string(100, 'b'), Answer("x")});
    CurlTransport transport;
    HttpRequest request = Request("GET", server.Url());
    request.headers = {{"x-amz-content-sha256", std::string(64, '0')}};
    prctl(PR_SET_NAME, "requester");  // the server's thread has the name of before
    fail_at = n;
    Status status = Caught([&] { return transport.Send(request).status(); });
    failed = fail_at.exchange(0) == 0;
    prctl(PR_SET_NAME, name);
    if (failed && fail_malloc) {
      // Some of what curl asks for it can do without, or it has its own word for it.
      CHECK((status.ok() || (status.code() == Code::kUnavailable && status.retryable())));
    } else if (failed) {
      CHECK(status.code() == Code::kUnavailable);
      CHECK(status.message() == "out of memory");
    } else {
      CHECK(status.ok());
    }
    CHECK(transport.Send(request).ok());
    transport.Cancel();
  }
  fail_malloc = false;
  CHECK(n > 8);
}

TEST_CASE("of a long error page the beginning is kept") {
  ScriptedServer server(
      {Answer(std::string(1 << 20, 'e'), "500 Internal Server Error"), Answer("x")});
  CurlTransport transport;
  HttpRequest request = Request("GET", server.Url());
  request.max_response = 1;
  Result<HttpResponse> response = transport.Send(request);
  REQUIRE(response.ok());
  CHECK(response->status == 500);
  CHECK(response->body == std::string(64 << 10, 'e'));
  CHECK(transport.Send(request).ok());
}

TEST_CASE("a redirect is an answer, not an order") {
  ScriptedServer server(
      {Answer("", "307 Temporary Redirect", "Location: /elsewhere\r\n"), Answer("x")});
  CurlTransport transport;
  Result<HttpResponse> response = transport.Send(Request("GET", server.Url()));
  REQUIRE(response.ok());
  CHECK(response->status == 307);
  CHECK(server.Requests().size() == 1);
}

TEST_CASE("a body that ends too early is kUnavailable") {
  ScriptedServer server(
      {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nshort"});
  CurlTransport transport;
  Status status = transport.Send(Request("GET", server.Url())).status();
  CHECK(status.code() == Code::kUnavailable);
  CHECK(status.retryable());
}

TEST_CASE("a reused connection that dies: sent again only where that is harmless") {
  // The second request meets a connection that the server closes without an answer.
  for (bool resend : {true, false}) {
    ScriptedServer server({Answer("1"), "", Answer("2")});
    CurlTransport transport;
    HttpRequest request = Request("PUT", server.Url());
    request.body = AsBytes("body");
    request.resend = resend;
    REQUIRE(transport.Send(request).ok());
    Result<HttpResponse> second = transport.Send(request);
    CHECK(second.ok() == resend);
    CHECK(server.Requests().size() == (resend ? 3 : 2));
    if (!resend) CHECK(second.status().code() == Code::kUnavailable);
  }
}

TEST_CASE("Cancel ends every call in flight") {
  ScriptedServer server({});
  CurlTransport transport;
  std::vector<Status> results(4);
  std::vector<std::thread> threads;
  for (Status& result : results) {
    threads.emplace_back(
        [&] { result = transport.Send(Request("GET", server.Url() + "/wait")).status(); });
  }
  transport.Cancel();
  for (std::thread& thread : threads) thread.join();
  for (const Status& result : results) {
    INFO(result.message());
    CHECK(result.code() == Code::kCancelled);
  }
  CHECK(transport.Send(Request("GET", server.Url())).status().code() == Code::kCancelled);
}

TEST_CASE("a connection that is never made takes nothing from the others") {
  // Nobody accepts there, and what may wait for that is full.
  Fd listener(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  REQUIRE(bind(listener.get(), generic, size) == 0);
  REQUIRE(listen(listener.get(), 0) == 0);
  REQUIRE(getsockname(listener.get(), generic, &size) == 0);
  std::vector<Fd> waiting;
  for (int i = 0; i < 4; ++i) {
    waiting.emplace_back(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    (void)connect(waiting.back().get(), generic, size);
  }
  HttpRequest silent =
      Request("GET", "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port)));
  ScriptedServer server({Answer("1"), Answer("2"), Answer("3")});
  CurlTransport transport({.connect_timeout_ms = 200});
  const uint64_t lost = Fd::lost();

  REQUIRE(transport.Send(Request("GET", server.Url())).ok());
  CHECK(transport.Send(silent).status().code() == Code::kUnavailable);
  REQUIRE(transport.Send(Request("GET", server.Url())).ok());
  {
    CurlTransport cancelled({.silence_ms = 1});
    silent.on_silence = [&](const HttpSilence&) { cancelled.Cancel(); };
    CHECK(cancelled.Send(silent).status().code() == Code::kCancelled);
  }
  REQUIRE(transport.Send(Request("GET", server.Url())).ok());
  CHECK(Fd::lost() == lost);
}

TEST_CASE("schemes other than HTTP are refused") {
  CurlTransport transport;
  for (const char* url : {"file:///etc/hostname", "ftp://127.0.0.1/", "not a url"}) {
    INFO(url);
    CHECK(transport.Send(Request("GET", url)).status().code() == Code::kInvalid);
  }
}

TEST_CASE("TLS: a certificate that nobody signed is refused unless told otherwise") {
  {
    ScriptedServer server({Answer("secret")}, /*tls=*/true);
    CurlTransport transport;
    Status status = transport.Send(Request("GET", server.Url())).status();
    CHECK(status.code() == Code::kInvalid);
    CHECK_THAT(status.message(), Catch::Contains("skip-verify"));
    CHECK(server.Requests().empty());
  }
  ScriptedServer server({Answer("secret"), Answer("again")}, /*tls=*/true);
  CurlTransport transport({.skip_verify = true});
  Result<HttpResponse> response = transport.Send(Request("GET", server.Url()));
  INFO(response.status().ToString());
  REQUIRE(response.ok());
  CHECK(response->body == "secret");
  CHECK(transport.Send(Request("GET", server.Url())).ok());
  CHECK(server.connections() == 1);
  // HTTP/2 is not offered.
  CHECK_THAT(server.Offered(), !Catch::Contains("h2"));
}

TEST_CASE("the host's signals stay as they are") {
  sigset_t before, after;
  struct sigaction action_before {
  }, action_after{};
  pthread_sigmask(SIG_SETMASK, nullptr, &before);
  sigaction(SIGPIPE, nullptr, &action_before);
  ScriptedServer server({Answer("x")});
  CurlTransport transport;
  REQUIRE(transport.Send(Request("GET", server.Url())).ok());
  pthread_sigmask(SIG_SETMASK, nullptr, &after);
  sigaction(SIGPIPE, nullptr, &action_after);
  CHECK(sigismember(&before, SIGPIPE) == sigismember(&after, SIGPIPE));
  CHECK((action_before.sa_handler == action_after.sa_handler));
}

}  // namespace backstay
