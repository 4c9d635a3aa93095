// JobPing: tells a monitor that a command begins, and how it has ended.
//
// Main thread; a server that is silent costs Begin() 5 s and End() some 20 s. A
// ping that is not taken is told on stderr, and changes nothing else. Without a URL nothing is
// sent.

#ifndef BACKSTAY_TOOLS_JOB_PING_H_
#define BACKSTAY_TOOLS_JOB_PING_H_

#include <functional>
#include <optional>
#include <string>

#include "uploader/base/status.h"
#include "uploader/storage/http.h"
#include "uploader/storage/ping.h"

namespace backstay {

class JobPing {
 public:
  // `stop`: the command is to end, and no ping is tried again. The certificates of CURL_CA_BUNDLE
  // or SSL_CERT_FILE are trusted in place of the system's.
  explicit JobPing(std::function<bool()> stop);

  // kInvalid: `url` is none. Empty: nothing is sent.
  Status Open(const std::string& url);
  void Begin();
  // `log`: what the command has said.
  void End(int exit_code, const std::string& log);

 private:
  void Send(const std::string& what, const std::string& log, int64_t patience_ms);

  const std::function<bool()> stop_;
  const std::string run_;  // a UUID
  CurlTransport transport_;
  std::string url_;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_JOB_PING_H_
