// HTTP, one request at a time: the seam between the S3 client and the network.
//
// CurlTransport is owned by one client and may be used from several threads; each Send() blocks its
// caller and borrows a connection from a pool, so that consecutive requests reuse it. Cancel()
// makes every Send() in flight and every later one return kCancelled at once. Any answer of the
// server, whatever its status, is a value; errors are kUnavailable (network; retryable), kInvalid
// (a body over the limit, a URL curl refuses, a certificate that does not verify) and kCancelled.
// Messages never hold headers. No signal is raised or handled in the host, and nothing is written
// anywhere.

#ifndef BACKSTAY_UPLOADER_STORAGE_HTTP_H_
#define BACKSTAY_UPLOADER_STORAGE_HTTP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "uploader/base/bytes.h"
#include "uploader/base/status.h"

namespace backstay {

// Next to nothing of a request or its answer has moved for a while.
struct HttpSilence {
  bool connected = false;
  int64_t silent_ms = 0;
  int64_t limit_ms = 0;  // after which it is given up
};

struct HttpResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case
  std::string body;

  // Value of the first such header, or "".
  std::string Header(const std::string& name) const;
};

struct HttpRequest {
  std::string method;  // GET, PUT, POST, DELETE
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  Bytes body;  // sent with PUT and POST; must outlive the call
  // A longer body of a 2xx answer is kInvalid and is not buffered; of other answers the first 64
  // KiB are kept.
  uint64_t max_response = 16 << 20;
  // A reused connection that turns out dead may make curl send the request again; false forbids it,
  // for requests whose second answer differs from the first.
  bool resend = true;
  // The server may work on it for long and sends a byte now and then meanwhile.
  bool trickles = false;
  // Called by Send(): once for each silence; and whenever something has moved
  // (`received`: bytes of the answer's body since the last call, the last ones left out).
  std::function<void(const HttpSilence& silence)> on_silence = {};
  std::function<void(uint64_t received)> on_movement = {};
  // Receives what had come of a 2xx answer when the call failed; null: it is dropped.
  HttpResponse* partial = nullptr;
};

class HttpTransport {
 public:
  virtual ~HttpTransport() = default;
  virtual Result<HttpResponse> Send(const HttpRequest& request) = 0;
  virtual void Cancel() = 0;
};

struct CurlOptions {
  bool skip_verify = false;  // accept any TLS certificate
  std::string ca_file = {};  // certificates to trust in place of the system's
  bool no_proxy = false;     // whatever the environment says
  int64_t connect_timeout_ms = 10000;
  int64_t silence_ms = 8000;
  int64_t stall_timeout_ms = 30000;  // as Silence measures it
  // Of a whole request, and a second more for each 1000 bytes that it moves.
  int64_t request_timeout_ms = 3600 * 1000;
};

class CurlTransport : public HttpTransport {
 public:
  explicit CurlTransport(CurlOptions options = {});
  // REQUIRES: no Send() is running.
  ~CurlTransport() override;

  Result<HttpResponse> Send(const HttpRequest& request) override;
  void Cancel() override;

 private:
  class Pool;
  std::unique_ptr<Pool> pool_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_HTTP_H_
