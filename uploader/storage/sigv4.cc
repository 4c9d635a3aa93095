#include "uploader/storage/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <algorithm>
#include <ctime>
#include <map>

namespace backstay::sigv4 {
namespace {

constexpr char kAlgorithm[] = "AWS4-HMAC-SHA256";

std::string Hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (unsigned char c : bytes) {
    out.push_back(kDigits[c >> 4]);
    out.push_back(kDigits[c & 15]);
  }
  return out;
}

std::string Hmac(std::string_view key, std::string_view data) {
  unsigned char out[SHA256_DIGEST_LENGTH];
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(data.data()), data.size(), out, nullptr);
  return {reinterpret_cast<char*>(out), sizeof out};
}

std::string LowerCase(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

// Without white space at the ends, and each run of it inside as one space.
std::string TrimValue(std::string_view value) {
  std::string out;
  for (char c : value) {
    if (!IsSpace(c)) {
      out.push_back(c);
    } else if (!out.empty() && out.back() != ' ') {
      out.push_back(' ');
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

// Lower-case name to value; values of a repeated name are joined in the order given.
std::map<std::string, std::string> CanonicalHeaders(const Pairs& headers) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value] : headers) {
    auto [at, added] = out.try_emplace(LowerCase(name), TrimValue(value));
    if (!added) at->second += "," + TrimValue(value);
  }
  return out;
}

bool IsUnreserved(unsigned char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

}  // namespace

std::string Sha256Hex(Bytes data) {
  unsigned char out[SHA256_DIGEST_LENGTH];
  SHA256(data.data(), data.size(), out);
  return Hex({reinterpret_cast<char*>(out), sizeof out});
}

std::string FormatTime(int64_t wall_ms) {
  time_t seconds = wall_ms / 1000;
  tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  return {text, strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts)};
}

std::string UriEncode(std::string_view bytes, bool encode_slash) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  std::string out;
  for (unsigned char c : bytes) {
    if (IsUnreserved(c) || (c == '/' && !encode_slash)) {
      out.push_back(static_cast<char>(c));
    } else {
      out += {'%', kDigits[c >> 4], kDigits[c & 15]};
    }
  }
  return out;
}

std::string CanonicalQuery(const Pairs& query) {
  Pairs encoded;
  for (const auto& [name, value] : query) {
    encoded.emplace_back(UriEncode(name, true), UriEncode(value, true));
  }
  // By name first: "a=…" would sort behind "a-b=…" as whole strings.
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) {
    if (!out.empty()) out += '&';
    out.append(name).append("=").append(value);
  }
  return out;
}

std::string SignedHeaders(const Pairs& headers) {
  std::string out;
  for (const auto& [name, value] : CanonicalHeaders(headers)) {
    if (!out.empty()) out += ';';
    out += name;
  }
  return out;
}

std::string CanonicalRequest(const Request& request) {
  std::string out = request.method + "\n" + UriEncode(request.path, false) + "\n" +
                    CanonicalQuery(request.query) + "\n";
  for (const auto& [name, value] : CanonicalHeaders(request.headers)) {
    out.append(name).append(":").append(value).append("\n");
  }
  return out + "\n" + SignedHeaders(request.headers) + "\n" + request.payload_hash;
}

std::string ScopeText(const Scope& scope) {
  return scope.time.substr(0, 8) + "/" + scope.region + "/" + scope.service + "/aws4_request";
}

std::string StringToSign(const Scope& scope, const std::string& canonical_request) {
  return std::string(kAlgorithm) + "\n" + scope.time + "\n" + ScopeText(scope) + "\n" +
         Sha256Hex(AsBytes(canonical_request));
}

std::string Signature(const Credentials& credentials, const Scope& scope,
                      const std::string& string_to_sign) {
  std::string key = Hmac("AWS4" + credentials.secret_access_key, scope.time.substr(0, 8));
  key = Hmac(key, scope.region);
  key = Hmac(key, scope.service);
  key = Hmac(key, "aws4_request");
  return Hex(Hmac(key, string_to_sign));
}

void Sign(const Credentials& credentials, const Scope& scope, Request* request) {
  request->headers.emplace_back("x-amz-date", scope.time);
  if (!credentials.session_token.empty()) {
    request->headers.emplace_back("x-amz-security-token", credentials.session_token);
  }
  std::string signature =
      Signature(credentials, scope, StringToSign(scope, CanonicalRequest(*request)));
  request->headers.emplace_back(
      "authorization", std::string(kAlgorithm) + " Credential=" + credentials.access_key_id + "/" +
                           ScopeText(scope) + ", SignedHeaders=" + SignedHeaders(request->headers) +
                           ", Signature=" + signature);
}

}  // namespace backstay::sigv4
