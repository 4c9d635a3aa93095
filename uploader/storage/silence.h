// Silence: whether a transfer gets on, told once when for a while nothing of it has moved.
//
// One for each transfer, on the thread that drives it. Cannot fail; what `say` throws comes
// through.

#ifndef BACKSTAY_UPLOADER_STORAGE_SILENCE_H_
#define BACKSTAY_UPLOADER_STORAGE_SILENCE_H_

#include <curl/curl.h>

#include <cstdint>
#include <functional>

#include "uploader/base/clock.h"

namespace backstay {

class Silence {
 public:
  Silence(CURL* easy, int64_t after_ms, const std::function<void()>* say)
      : easy_(easy), after_ms_(after_ms), say_(*say ? say : nullptr) {}

  void Look() {
    const int64_t now = RealClock()->MonotonicMs();
    const int64_t moved = Moved();
    if (moved != moved_) {
      moved_ = moved;
      since_ms_ = now;
    } else if (say_ != nullptr && now - since_ms_ >= after_ms_) {
      const std::function<void()>* say = say_;
      say_ = nullptr;
      (*say)();
    }
  }

 private:
  // Bytes in both directions.
  int64_t Moved() const {
    curl_off_t up = 0;
    curl_off_t down = 0;
    long head = 0;  // NOLINT: curl's type
    curl_easy_getinfo(easy_, CURLINFO_SIZE_UPLOAD_T, &up);
    curl_easy_getinfo(easy_, CURLINFO_SIZE_DOWNLOAD_T, &down);
    curl_easy_getinfo(easy_, CURLINFO_HEADER_SIZE, &head);
    return up + down + head;
  }

  CURL* const easy_;
  const int64_t after_ms_;
  const std::function<void()>* say_;  // null: it was said, or nobody listens
  int64_t moved_ = 0;
  int64_t since_ms_ = RealClock()->MonotonicMs();
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_SILENCE_H_
