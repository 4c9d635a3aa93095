#include "uploader/storage/curl_handle.h"

#include <sys/socket.h>

#include <algorithm>
#include <exception>
#include <new>

namespace backstay {
namespace {

// A cancelled transfer ends this much later at the most. It is not woken: the descriptor that curl
// has for that cannot be proven.
constexpr int kPollMs = 50;

}  // namespace

CurlHandle::CurlHandle()
    : multi_(curl_multi_init(), &curl_multi_cleanup), easy_(curl_easy_init(), &curl_easy_cleanup) {
  if (multi_ == nullptr || easy_ == nullptr) throw std::bad_alloc();
  curl_easy_setopt(easy(), CURLOPT_OPENSOCKETFUNCTION, &Open);
  curl_easy_setopt(easy(), CURLOPT_OPENSOCKETDATA, this);
  curl_easy_setopt(easy(), CURLOPT_CLOSESOCKETFUNCTION, &Close);
  curl_easy_setopt(easy(), CURLOPT_CLOSESOCKETDATA, this);
}

CurlHandle::~CurlHandle() {
  if (Holds()) {
    easy_.reset();
    multi_.reset();
    ForgetClosed();
    return;
  }
  // They would write to what they take for their sockets, and close it.
  static_cast<void>(easy_.release());
  static_cast<void>(multi_.release());
}

bool CurlHandle::Holds() const {
  return std::all_of(sockets_.begin(), sockets_.end(),
                     [](const Socket& socket) { return socket.fd.valid(); }) &&
         Fd::lost() == lost_;
}

void CurlHandle::Connected() {
  // Those of other addresses, which have lost.
  ForgetClosed();
  for (Socket& socket : sockets_) socket.connected = true;
}

// To be called right after curl. Its versions 7.88 to 8.2 close a socket that has not connected
// themselves, and not through Close() (github.com/curl/curl/pull/11439): the application has taken
// none of these.
void CurlHandle::ForgetClosed() {
  sockets_.remove_if([](Socket& socket) { return !socket.connected && socket.fd.ForgetIfGone(); });
}

curl_socket_t CurlHandle::Open(void* self, curlsocktype, curl_sockaddr* address) noexcept {
  try {
    auto& sockets = static_cast<CurlHandle*>(self)->sockets_;
    sockets.emplace_back();
    sockets.back().fd =
        Fd(socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol));
    const int fd = sockets.back().fd.get();
    if (fd < 0) sockets.pop_back();
    return fd < 0 ? CURL_SOCKET_BAD : fd;
  } catch (const std::exception&) {
    static_cast<CurlHandle*>(self)->no_memory_ = true;
    return CURL_SOCKET_BAD;
  }
}

int CurlHandle::Close(void* self, curl_socket_t socket) noexcept {
  static_cast<CurlHandle*>(self)->sockets_.remove_if(
      [socket](const Socket& ours) { return ours.fd.get() == socket; });
  return 0;
}

CURLcode CurlHandle::Perform(const std::function<bool()>& cancelled, bool* done) {
  if (curl_multi_add_handle(multi_.get(), easy()) != CURLM_OK) throw std::bad_alloc();
  no_memory_ = false;
  CURLcode code = Drive(cancelled, done);
  if (no_memory_ && code != CURLE_OK) code = CURLE_OUT_OF_MEMORY;
  if (Holds()) {
    curl_multi_remove_handle(multi_.get(), easy());
    ForgetClosed();
  }
  return code;
}

CURLcode CurlHandle::Drive(const std::function<bool()>& cancelled, bool* done) {
  *done = true;
  for (int running = 1;;) {
    if (!Holds()) return CURLE_SEND_ERROR;
    if (curl_multi_perform(multi_.get(), &running) != CURLM_OK) return CURLE_FAILED_INIT;
    ForgetClosed();
    if (running == 0) break;
    if (cancelled()) {
      *done = false;
      return CURLE_OK;
    }
    if (!Holds()) return CURLE_SEND_ERROR;
    if (curl_multi_poll(multi_.get(), nullptr, 0, kPollMs, nullptr) != CURLM_OK) {
      return CURLE_FAILED_INIT;
    }
  }
  int left = 0;
  CURLMsg* message = curl_multi_info_read(multi_.get(), &left);
  return message != nullptr ? message->data.result : CURLE_FAILED_INIT;
}

}  // namespace backstay
