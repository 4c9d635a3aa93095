// ContentMd5: what DeleteObjects is sent with, so that a server knows a body that was damaged.
//
// Called by s3_client; any thread, no state. nullopt where a security policy forbids MD5.

#ifndef BACKSTAY_UPLOADER_STORAGE_CONTENT_MD5_H_
#define BACKSTAY_UPLOADER_STORAGE_CONTENT_MD5_H_

#include <openssl/evp.h>

#include <optional>
#include <string>

#include "uploader/base/bytes.h"

namespace backstay {

// In Base64, as Content-MD5 wants it.
inline std::optional<std::string> ContentMd5(Bytes body) {
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  if (EVP_Digest(body.data(), body.size(), hash, &n, EVP_md5(), nullptr) != 1) return std::nullopt;
  unsigned char text[EVP_MAX_MD_SIZE * 2];
  int length = EVP_EncodeBlock(text, hash, static_cast<int>(n));
  return std::string(reinterpret_cast<char*>(text), static_cast<size_t>(length));
}

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_CONTENT_MD5_H_
