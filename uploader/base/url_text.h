// What is written in URLs: a path in a replica's, so that what is said can be typed; the server of
// an HTTP URL, which may be said where the rest is a secret.
//
// Any thread; cannot fail.

#ifndef BACKSTAY_UPLOADER_BASE_URL_TEXT_H_
#define BACKSTAY_UPLOADER_BASE_URL_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace backstay {

// Only what would mean something else there is percent-encoded (RFC 3986, 2.1): people read it.
inline std::string UrlText(std::string_view path) {
  constexpr char kDigits[] = "0123456789ABCDEF";
  std::string text;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7f && c != '%' && c != '?' && c != '#') {
      text += c;
      continue;
    }
    text += '%';
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

// Where host and port end in "https://host:port/path"; npos: it is no such URL.
inline size_t HttpServerEnd(std::string_view url) {
  size_t host = std::string_view::npos;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (url.starts_with(scheme)) host = scheme.size();
  }
  const bool plain = url.find_first_of(" \t\r\n") == std::string_view::npos;
  if (host == std::string_view::npos || !plain) return std::string_view::npos;
  const size_t end = url.find_first_of("/?#", host);
  const size_t at = end == std::string_view::npos ? url.size() : end;
  return at > host ? at : std::string_view::npos;
}

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_BASE_URL_TEXT_H_
