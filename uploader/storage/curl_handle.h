// CurlHandle: one of curl's connections: an easy handle in a multi handle of its own, whose cache
// keeps the socket.
//
// Owned by CurlTransport's pool; one thread at a time. The sockets are ours (Fd), what else curl
// opens is not to be seen: once a socket or any other descriptor of this process was lost to the
// application, the handle is given up, which leaks its memory and closes nothing. Out of memory:
// std::bad_alloc. SIGPIPE is the caller's to block.

#ifndef BACKSTAY_UPLOADER_STORAGE_CURL_HANDLE_H_
#define BACKSTAY_UPLOADER_STORAGE_CURL_HANDLE_H_

#include <curl/curl.h>

#include <functional>
#include <list>
#include <memory>

#include "uploader/base/file.h"

namespace backstay {

class CurlHandle {
 public:
  CurlHandle();
  ~CurlHandle();
  CurlHandle(const CurlHandle&) = delete;
  CurlHandle& operator=(const CurlHandle&) = delete;

  CURL* easy() const { return easy_.get(); }
  // Else it must not be used any more.
  bool Holds() const;
  // curl has a connection and is about to use it. To be called from within Perform().
  void Connected();
  // Runs the transfer that is set up in easy(), and asks every now and then whether it is
  // cancelled: CURLE_OK with *done false.
  CURLcode Perform(const std::function<bool()>& cancelled, bool* done);

 private:
  static curl_socket_t Open(void* self, curlsocktype, curl_sockaddr* address) noexcept;
  static int Close(void* self, curl_socket_t socket) noexcept;
  CURLcode Drive(const std::function<bool()>& cancelled, bool* done);
  void ForgetClosed();

  struct Socket {
    Fd fd;
    bool connected = false;
  };

  const uint64_t lost_ = Fd::lost();  // when it was made
  std::list<Socket> sockets_;         // curl closes them through Close(), once connected
  bool no_memory_ = false;            // for one of them
  std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)> multi_;
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_CURL_HANDLE_H_
