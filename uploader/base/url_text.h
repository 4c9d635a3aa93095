// UrlText: a path as it is written in a replica's URL, so that what is said can be typed.
//
// Any thread; cannot fail.

#ifndef BACKSTAY_UPLOADER_BASE_URL_TEXT_H_
#define BACKSTAY_UPLOADER_BASE_URL_TEXT_H_

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

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_BASE_URL_TEXT_H_
