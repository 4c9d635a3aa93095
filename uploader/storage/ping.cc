#include "uploader/storage/ping.h"

#include <algorithm>
#include <utility>

#include "uploader/base/bytes.h"
#include "uploader/base/url_text.h"

namespace backstay {
namespace {

constexpr int64_t kConnectMs = 5000;
constexpr int64_t kSilenceMs = 5000;
constexpr uint64_t kMostAnswer = 64 << 10;

bool MayHelp(int status) { return status >= 500 || status == 429 || status == 408; }

}  // namespace

Status Ping::CheckUrl(const std::string& url) {
  if (HttpServerEnd(url) != std::string_view::npos) return Status::Ok();
  return {Code::kInvalid, "is no ping URL; write it like https://hc-ping.com/<uuid>"};
}

std::string Ping::CaFile(
    const std::function<std::optional<std::string>(const std::string& name)>& getenv) {
  for (const char* name : {"CURL_CA_BUNDLE", "SSL_CERT_FILE"}) {
    const std::optional<std::string> file = getenv(name);
    if (file && !file->empty()) return *file;
  }
  return {};
}

CurlOptions Ping::Timeouts(const std::string& ca_file) {
  CurlOptions options;
  options.ca_file = ca_file;
  options.connect_timeout_ms = kConnectMs;
  options.silence_ms = kSilenceMs;
  options.stall_timeout_ms = kSilenceMs;
  return options;
}

Ping::Ping(const std::string& url, PingOptions options) : options_(std::move(options)) {
  const std::string whole = url.substr(0, url.find('#'));
  const size_t query = std::min(whole.find('?'), whole.size());
  path_ = whole.substr(0, query);
  query_ = whole.substr(query);
  while (path_.ends_with('/')) path_.pop_back();
  server_ = whole.substr(0, HttpServerEnd(whole));
  // A name and password may stand before the host.
  const size_t host = server_.find("://") + 3;
  if (const size_t at = server_.rfind('@'); at != std::string::npos) {
    server_.erase(host, at + 1 - host);
  }
}

Status Ping::Send(std::string_view what, std::string_view run, std::string_view body) {
  std::string url = path_ + std::string(what) + query_;
  if (!run.empty()) url += (query_.empty() ? "?rid=" : "&rid=") + std::string(run);
  const int64_t until = options_.clock->MonotonicMs() + options_.patience_ms;
  for (int64_t delay = options_.first_delay_ms;; delay *= 2) {
    Status sent = Try(url, body);
    if (sent.ok() || !sent.retryable()) return sent;
    if (options_.clock->MonotonicMs() + delay > until || !options_.sleep(delay)) return sent;
  }
}

Status Ping::Try(const std::string& url, std::string_view body) {
  HttpRequest request;
  request.method = "POST";
  request.url = url;
  request.body = AsBytes(body);
  request.max_response = kMostAnswer;
  request.headers = {{"content-type", "text/plain; charset=utf-8"}};
  Result<HttpResponse> answer = options_.transport->Send(request);
  if (!answer.ok()) return answer.status().Wrap(server_);
  const int status = answer->status;
  if (status < 200 || status >= 300) {
    return {Code::kUnavailable, server_ + ": HTTP status " + std::to_string(status),
            MayHelp(status)};
  }
  // Healthchecks answers so, with status 200, where it takes no ping.
  for (const char* refused : {"(not found)", "(rate limited)"}) {
    if (answer->body.find(refused) != std::string::npos) {
      return {Code::kUnavailable, server_ + ": it answers \"OK " + refused + "\""};
    }
  }
  return Status::Ok();
}

}  // namespace backstay
