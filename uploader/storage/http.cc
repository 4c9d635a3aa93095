#include "uploader/storage/http.h"

#include <openssl/crypto.h>
#include <signal.h>
#include <strings.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <string_view>

#include "uploader/storage/curl_handle.h"
#include "uploader/storage/http_error.h"
#include "uploader/storage/silence.h"

namespace backstay {
namespace {

constexpr size_t kMaxErrorBody = 64 << 10;
constexpr size_t kMaxHeaders = 256 << 10;
constexpr size_t kMaxReserve = 8 << 20;

// One libcurl and one OpenSSL per process. OpenSSL's exit handler would pull the library away from
// a thread that is still sending when the host exits.
void InitOnce() {
  static std::once_flag once;
  std::call_once(once, [] {
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, nullptr);
    curl_global_init(CURL_GLOBAL_ALL);
  });
}

// Keeps the SIGPIPE that a write to a closed TLS connection raises from the host's handlers:
// blocked in this thread, and taken away if it came.
class SigpipeBlock {
 public:
  SigpipeBlock() {
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~SigpipeBlock() {
    timespec none{};
    if (!was_pending_) {
      while (sigtimedwait(&pipe_, nullptr, &none) == SIGPIPE) {
      }
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  SigpipeBlock(const SigpipeBlock&) = delete;
  SigpipeBlock& operator=(const SigpipeBlock&) = delete;

 private:
  sigset_t pipe_, before_;
  bool was_pending_ = false;
};

// Of what copies a text. A request without it would be another one.
void SetText(CURL* easy, CURLoption option, const std::string& text) {
  if (curl_easy_setopt(easy, option, text.c_str()) == CURLE_OUT_OF_MEMORY) throw std::bad_alloc();
}

struct HeaderList {
  curl_slist* list = nullptr;
  ~HeaderList() { curl_slist_free_all(list); }
  void Add(const std::string& line) {
    curl_slist* longer = curl_slist_append(list, line.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    list = longer;
  }
  void Add(std::string name, const std::string& value) { Add(name.append(": ").append(value)); }
};

std::string LowerCase(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

std::string_view Trim(std::string_view s) {
  size_t first = s.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(" \t\r\n") - first + 1);
}

// What curl's callbacks fill during one request.
struct Exchange {
  CurlHandle* handle = nullptr;
  uint64_t max_response = 0;
  bool resend = true;
  int sends = 0;
  bool too_large = false;
  bool cut = false;  // an error's body, longer than is kept
  bool no_memory = false;
  size_t header_bytes = 0;
  HttpResponse response = {};

  bool Success() const {
    long status = 0;  // NOLINT: curl's type
    curl_easy_getinfo(handle->easy(), CURLINFO_RESPONSE_CODE, &status);
    return status >= 200 && status < 300;
  }
};

// Returns what was taken; curl gives up when that is not `n`.
size_t TakeBody(const char* data, size_t n, Exchange* exchange) {
  std::string& body = exchange->response.body;
  if (exchange->Success()) {
    exchange->too_large = n > exchange->max_response - body.size();
    if (exchange->too_large) return 0;
    body.append(data, n);
    return n;
  }
  body.append(data, std::min(n, kMaxErrorBody - body.size()));
  exchange->cut = body.size() == kMaxErrorBody;
  return exchange->cut ? 0 : n;
}

void OnContentLength(const std::string& value, Exchange* exchange) {
  if (!exchange->Success()) return;
  uint64_t length = strtoull(value.c_str(), nullptr, 10);
  exchange->too_large = length > exchange->max_response;
  exchange->response.body.reserve(std::min<uint64_t>(length, kMaxReserve));
}

size_t TakeHeader(const char* data, size_t n, Exchange* exchange) {
  exchange->header_bytes += n;
  if (exchange->header_bytes > kMaxHeaders) return 0;
  std::string_view line(data, n);
  // An interim answer (100 Continue) or a proxy's is followed by another head.
  if (line.substr(0, 5) == "HTTP/") exchange->response.headers.clear();
  size_t colon = line.find(':');
  if (colon == std::string_view::npos) return n;
  std::string name = LowerCase(std::string(Trim(line.substr(0, colon))));
  std::string value(Trim(line.substr(colon + 1)));
  if (name == "content-length") OnContentLength(value, exchange);
  exchange->response.headers.emplace_back(std::move(name), std::move(value));
  return exchange->too_large ? 0 : n;
}

// Nothing may be thrown through curl.
template <size_t (*kTake)(const char* data, size_t n, Exchange* exchange)>
size_t OnBytes(char* data, size_t size, size_t n, void* user) noexcept {
  auto* exchange = static_cast<Exchange*>(user);
  try {
    return kTake(data, size * n, exchange);
  } catch (const std::exception&) {
    exchange->no_memory = true;
    return 0;
  }
}

// Called before each sending of the request, curl's own second attempt included.
int OnSend(void* user, char*, char*, int, int) {
  auto* exchange = static_cast<Exchange*>(user);
  exchange->handle->Connected();
  return ++exchange->sends > 1 && !exchange->resend ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

void SetMethod(CURL* easy, const HttpRequest& request) {
  if (request.method == "PUT" || request.method == "POST") {
    // POSTFIELDS is not copied and can be sent again without callbacks; the method replaces "POST".
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(
        easy, CURLOPT_POSTFIELDS,
        request.body.empty() ? "" : reinterpret_cast<const char*>(request.body.data()));
  } else {
    curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
  }
  SetText(easy, CURLOPT_CUSTOMREQUEST, request.method);
}

void SetOptions(CURL* easy, const CurlOptions& options) {
  curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
  SetText(easy, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));  // NOLINT
  curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
  curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L);
  curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout_ms));
  // Without it a cancelled request waits for the name lookup that it started.
  curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
  SetText(easy, CURLOPT_USERAGENT, "backstay");
  if (options.no_proxy) SetText(easy, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, options.skip_verify ? 0L : 1L);
  curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, options.skip_verify ? 0L : 2L);
  if (!options.ca_file.empty()) {
    SetText(easy, CURLOPT_CAINFO, options.ca_file);
    curl_easy_setopt(easy, CURLOPT_CAPATH, nullptr);
  }
  curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, OnBytes<TakeHeader>);
  curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, OnBytes<TakeBody>);
  curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, OnSend);
}

void SetExchange(CURL* easy, Exchange* exchange) {
  curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
  curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
  curl_easy_setopt(easy, CURLOPT_PREREQDATA, exchange);
}

// `detail` is curl's own text: host names and system errors, never a header.
Status CurlError(CURLcode code, const HttpRequest& request, const Exchange& exchange,
                 const char* detail) {
  if (exchange.no_memory || code == CURLE_OUT_OF_MEMORY) {
    return {Code::kUnavailable, "out of memory", true};
  }
  if (exchange.too_large) {
    return {Code::kInvalid, "the answer is larger than the limit of " +
                                std::to_string(exchange.max_response) + " bytes"};
  }
  std::string text = detail[0] != '\0' ? detail : curl_easy_strerror(code);
  if (code == CURLE_ABORTED_BY_CALLBACK) text = "the connection was closed before an answer";
  return HttpFailure(code, text, request.url.starts_with("https:"), exchange.header_bytes > 0);
}

Status SilentServer(int64_t ms) {
  return {Code::kUnavailable,
          "the server was silent for " + std::to_string((ms + 500) / 1000) + " s", true};
}

Status SlowServer(int64_t ms) {
  return {Code::kUnavailable,
          "the request took longer than " + std::to_string((ms + 500) / 1000) +
              " s, at less than 1 KB a second",
          true};
}

}  // namespace

std::string HttpResponse::Header(const std::string& name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "";
}

class CurlTransport::Pool {
 public:
  struct Return {
    Pool* pool;
    void operator()(CurlHandle* handle) const { pool->TakeBack(handle); }
  };
  using Lease = std::unique_ptr<CurlHandle, Return>;

  explicit Pool(CurlOptions options) : options_(std::move(options)) {}

  const CurlOptions& options() const { return options_; }

  // Null once cancelled.
  Lease Borrow() {
    std::lock_guard<std::mutex> lock(mutex_);
    if (cancelled_) return {nullptr, {this}};
    // So that it can be taken back without memory.
    idle_.reserve(idle_.size() + busy_.size() + 1);
    busy_.reserve(busy_.size() + 1);
    // They lose what they have open together.
    if (!idle_.empty() && !idle_.back()->Holds()) idle_.clear();
    std::unique_ptr<CurlHandle> handle;
    if (idle_.empty()) {
      handle = std::make_unique<CurlHandle>();
      SetOptions(handle->easy(), options_);
    } else {
      handle = std::move(idle_.back());
      idle_.pop_back();
    }
    busy_.push_back(handle.get());
    return {handle.release(), {this}};
  }

  bool Cancelled() {
    std::lock_guard<std::mutex> lock(mutex_);
    return cancelled_;
  }

  void Cancel() {
    std::lock_guard<std::mutex> lock(mutex_);
    cancelled_ = true;
    idle_.clear();
  }

 private:
  void TakeBack(CurlHandle* handle) {
    curl_easy_setopt(handle->easy(), CURLOPT_HTTPHEADER, nullptr);
    curl_easy_setopt(handle->easy(), CURLOPT_ERRORBUFFER, nullptr);
    std::lock_guard<std::mutex> lock(mutex_);
    busy_.erase(std::find(busy_.begin(), busy_.end(), handle));
    std::unique_ptr<CurlHandle> owner(handle);
    if (!cancelled_ && owner->Holds()) idle_.push_back(std::move(owner));
  }

  const CurlOptions options_;
  std::mutex mutex_;
  bool cancelled_ = false;                         // guarded by mutex_
  std::vector<std::unique_ptr<CurlHandle>> idle_;  // guarded by mutex_
  std::vector<CurlHandle*> busy_;                  // guarded by mutex_; owned by the borrowers
};

CurlTransport::CurlTransport(CurlOptions options) {
  InitOnce();
  pool_ = std::make_unique<Pool>(std::move(options));
}

CurlTransport::~CurlTransport() {
  SigpipeBlock block;
  pool_.reset();
}

void CurlTransport::Cancel() { pool_->Cancel(); }

Result<HttpResponse> CurlTransport::Send(const HttpRequest& request) {
  SigpipeBlock block;
  HeaderList headers;
  for (const auto& [name, value] : request.headers) headers.Add(name, value);
  // What curl would add by itself: neither is part of the signature.
  headers.Add("Expect:");
  headers.Add("Content-Type:");
  // Without it something on the way may compress what it passes on. Not signed: some change it.
  headers.Add("Accept-Encoding: identity");
  char detail[CURL_ERROR_SIZE] = "";
  Pool::Lease handle = pool_->Borrow();
  if (handle == nullptr) return Status(Code::kCancelled, "cancelled");
  CURL* easy = handle->easy();
  Exchange exchange{
      .handle = handle.get(), .max_response = request.max_response, .resend = request.resend};
  SetMethod(easy, request);
  SetExchange(easy, &exchange);
  SetText(easy, CURLOPT_URL, request.url);
  curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers.list);
  curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail);

  bool done = false;
  Silence silence(easy, pool_->options(), request);
  CURLcode code = handle->Perform([&] { return silence.Look() || pool_->Cancelled(); }, &done);
  long status = 0;  // NOLINT: curl's type
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  const bool success = status >= 200 && status <= 299;
  handle.reset();
  if (request.partial != nullptr && success && (!done || code != CURLE_OK)) {
    *request.partial = std::move(exchange.response);
    request.partial->status = static_cast<int>(status);
  }
  if (!done && !silence.over()) return Status(Code::kCancelled, "cancelled");
  if (silence.slow() && !done) return SlowServer(pool_->options().request_timeout_ms);
  if (!done) return SilentServer(pool_->options().stall_timeout_ms);
  if (code != CURLE_OK && !exchange.cut) return CurlError(code, request, exchange, detail);
  exchange.response.status = static_cast<int>(status);
  return std::move(exchange.response);
}

}  // namespace backstay
