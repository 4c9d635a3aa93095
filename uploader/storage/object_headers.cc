#include "uploader/storage/object_headers.h"

#include <openssl/evp.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "uploader/storage/content_md5.h"

namespace backstay {
namespace {

constexpr char kCustomer[] = "x-amz-server-side-encryption-customer-";

bool Asks(const sigv4::Pairs& query, std::string_view name) {
  return std::any_of(query.begin(), query.end(),
                     [name](const auto& each) { return each.first == name; });
}

void Add(const sigv4::Pairs& more, sigv4::Pairs* headers) {
  headers->insert(headers->end(), more.begin(), more.end());
}

// "team=data&stage=prod", as a query is written.
std::string EncodedTags(std::string_view tags) {
  std::string out;
  while (!tags.empty()) {
    const std::string_view pair = tags.substr(0, tags.find('&'));
    tags.remove_prefix(std::min(tags.size(), pair.size() + 1));
    const size_t equals = std::min(pair.find('='), pair.size());
    out += out.empty() ? "" : "&";
    out += sigv4::UriEncode(pair.substr(0, equals), /*encode_slash=*/true) + "=";
    out += sigv4::UriEncode(pair.substr(std::min(equals + 1, pair.size())), /*encode_slash=*/true);
  }
  return out;
}

// REQUIRES: checked Base64 of 32 bytes.
std::string KeyOf(const std::string& base64) {
  unsigned char bytes[33];
  EVP_DecodeBlock(bytes, reinterpret_cast<const unsigned char*>(base64.data()), 44);
  return {reinterpret_cast<const char*>(bytes), 32};
}

}  // namespace

Result<ObjectHeaders> ObjectHeaders::Make(const ObjectSettings& objects) {
  ObjectHeaders out;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) out.made_.emplace_back(name, value);
  };
  add("x-amz-storage-class", objects.storage_class);
  add("x-amz-server-side-encryption", objects.sse);
  add("x-amz-server-side-encryption-aws-kms-key-id", objects.sse_kms_key_id);
  add("x-amz-tagging", EncodedTags(objects.tags));
  if (!objects.request_payer.empty()) {
    out.everything_.emplace_back("x-amz-request-payer", objects.request_payer);
  }
  if (objects.sse_c_key.empty()) return out;
  if (objects.sse_c_key.size() != 44) return Status(Code::kInvalid, "sse-c-key is not 32 bytes");
  const std::string key = KeyOf(objects.sse_c_key);
  const std::optional<std::string> md5 = ContentMd5(AsBytes(key));
  if (!md5) return Status(Code::kUnsupported, "sse-c-key: MD5 is not available");
  const std::string customer = kCustomer;
  out.content_ = {{customer + "algorithm", "AES256"},
                  {customer + "key", objects.sse_c_key},
                  {customer + "key-md5", *md5}};
  return out;
}

void ObjectHeaders::AddTo(const std::string& method, const std::string& key,
                          const sigv4::Pairs& query, sigv4::Pairs* headers) const {
  Add(everything_, headers);
  if (key.empty()) return;
  const bool put = method == "PUT";
  const bool part = put && Asks(query, "partNumber");
  const bool makes = (put && !part) || (method == "POST" && Asks(query, "uploads"));
  if (makes) Add(made_, headers);
  if (makes || part || method == "GET" || method == "HEAD") Add(content_, headers);
}

}  // namespace backstay
