// Silence: whether a transfer gets on. Told once when for a while next to nothing of it has moved,
// and over when that has lasted too long, or all of it has for what has moved.
//
// One for each transfer, on the thread that drives it. Cannot fail; what the request's functions
// throw comes through. What counts: a connection that is made, bytes that are sent, and bytes of
// the answer's body, at least kLeastBytes of them at a time: a server that sends one now and then,
// or heads without end, does not answer.

#ifndef BACKSTAY_UPLOADER_STORAGE_SILENCE_H_
#define BACKSTAY_UPLOADER_STORAGE_SILENCE_H_

#include <curl/curl.h>

#include <cstdint>

#include "uploader/base/clock.h"
#include "uploader/storage/http.h"

namespace backstay {

class Silence {
 public:
  static constexpr int64_t kLeastBytes = 1024;

  Silence(CURL* easy, const CurlOptions& options, const HttpRequest& request)
      : easy_(easy), options_(options), request_(request) {}

  // True: the transfer is to be given up. While there is no connection curl itself gives it up.
  bool Look() {
    const int64_t now = RealClock()->MonotonicMs();
    if (Moved()) {
      since_ms_ = now;
      told_ = false;
    } else if (!told_ && now - since_ms_ >= options_.silence_ms) {
      told_ = true;
      const int64_t limit_ms = connected_ ? options_.stall_timeout_ms : options_.connect_timeout_ms;
      if (request_.on_silence) request_.on_silence({connected_, options_.silence_ms, limit_ms});
    }
    slow_ = now - began_ms_ >= options_.request_timeout_ms + up_ + Number(CURLINFO_SIZE_DOWNLOAD_T);
    over_ = slow_ || now - since_ms_ >= options_.stall_timeout_ms;
    return over_;
  }
  // Over, though it has got on.
  bool slow() const { return slow_; }
  bool over() const { return over_; }

 private:
  bool Moved() {
    const bool connected = Number(CURLINFO_PRETRANSFER_TIME_T) > 0;
    const int64_t up = Number(CURLINFO_SIZE_UPLOAD_T);
    const int64_t down = Number(CURLINFO_SIZE_DOWNLOAD_T);
    const bool received = down - down_ >= (request_.trickles ? 1 : kLeastBytes);
    const bool moved = connected != connected_ || up != up_ || received;
    connected_ = connected;
    up_ = up;
    const int64_t came = received ? down - down_ : 0;
    if (received) down_ = down;
    if (moved && request_.on_movement) request_.on_movement(static_cast<uint64_t>(came));
    return moved;
  }

  int64_t Number(CURLINFO what) const {
    curl_off_t number = 0;
    curl_easy_getinfo(easy_, what, &number);
    return number;
  }

  CURL* const easy_;
  const CurlOptions& options_;
  const HttpRequest& request_;
  bool connected_ = false;
  int64_t up_ = 0;    // bytes
  int64_t down_ = 0;  // bytes, when enough had come the last time
  const int64_t began_ms_ = RealClock()->MonotonicMs();
  int64_t since_ms_ = began_ms_;
  bool told_ = false;
  bool over_ = false;
  bool slow_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_SILENCE_H_
