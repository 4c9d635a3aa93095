// UrlParts: a URL taken apart by libcurl.
//
// Owned by its caller; any thread, one at a time. Throws std::bad_alloc: without memory a URL would
// seem to be none, or to have no port.

#ifndef BACKSTAY_UPLOADER_SETTINGS_URL_PARTS_H_
#define BACKSTAY_UPLOADER_SETTINGS_URL_PARTS_H_

#include <curl/curl.h>

#include <memory>
#include <string>

namespace backstay {

class UrlParts {
 public:
  explicit UrlParts(const std::string& text);

  // Whether `text` is a URL; if not, no part of it may be asked for.
  bool valid() const { return valid_; }
  // Empty if it is not there. `flags`: of curl_url_get().
  std::string Part(CURLUPart part, unsigned flags = 0) const;

 private:
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url_;
  bool valid_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_URL_PARTS_H_
