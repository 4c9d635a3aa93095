// Ping: one check of a monitor that speaks healthchecks.io's protocol: told that a job begins,
// ends with an exit status, fails, or is well.
//
// Used by the tool's `verify` and by engine/, on a thread that may wait: a ping takes at most
// `patience_ms` and one request. Does not own the transport, whose time-outs bound each of them.
// Errors are those of the last request; messages name the server alone: the path of a ping is as
// good as a password.

#ifndef BACKSTAY_UPLOADER_STORAGE_PING_H_
#define BACKSTAY_UPLOADER_STORAGE_PING_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "uploader/base/clock.h"
#include "uploader/base/status.h"
#include "uploader/storage/http.h"

namespace backstay {

struct PingOptions {
  HttpTransport* transport = nullptr;
  Clock* clock = RealClock();
  int64_t patience_ms = 20000;    // no try begins later
  int64_t first_delay_ms = 1000;  // before the second; doubles each time
  // Waits; false: it is over, no further try.
  std::function<bool(int64_t ms)> sleep;
};

class Ping {
 public:
  // kInvalid unless it is http:// or https:// with a host.
  static Status CheckUrl(const std::string& url);

  // REQUIRES: CheckUrl(url).ok().
  Ping(const std::string& url, PingOptions options);

  // "https://hc-ping.com"
  const std::string& server() const { return server_; }
  // `what`: "", "/start", "/fail" or "/<exit status>", behind the path; the query stays. `run`: a
  // UUID that pairs the beginning and the end of a job, or "". `body`: a log, for people.
  Status Send(std::string_view what, std::string_view run, std::string_view body);

  // The pings' CA certificates: those of the system, or of `ca_file`. One that is silent is given
  // up sooner than a bucket is.
  static CurlOptions Timeouts(const std::string& ca_file);
  // The file that the environment names for programs that use curl or OpenSSL; "": none.
  static std::string CaFile(
      const std::function<std::optional<std::string>(const std::string& name)>& getenv);

 private:
  Status Try(const std::string& url, std::string_view body);

  std::string server_;
  std::string path_;   // with the server's part
  std::string query_;  // with its question mark, or empty
  const PingOptions options_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_PING_H_
