#include "uploader/settings/url_parts.h"

#include <new>

namespace backstay {
namespace {

bool Succeeded(CURLUcode code) {
  if (code == CURLUE_OUT_OF_MEMORY) throw std::bad_alloc();
  return code == CURLUE_OK;
}

}  // namespace

UrlParts::UrlParts(const std::string& text) : url_(curl_url(), &curl_url_cleanup) {
  if (url_ == nullptr) throw std::bad_alloc();
  valid_ = Succeeded(curl_url_set(url_.get(), CURLUPART_URL, text.c_str(), 0));
}

std::string UrlParts::Part(CURLUPart part, unsigned flags) const {
  char* text = nullptr;
  if (!Succeeded(curl_url_get(url_.get(), part, &text, flags))) return "";
  const std::unique_ptr<char, decltype(&curl_free)> owner(text, &curl_free);
  return text;
}

}  // namespace backstay
