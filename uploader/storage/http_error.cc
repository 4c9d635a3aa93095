#include "uploader/storage/http_error.h"

#include <algorithm>
#include <initializer_list>

namespace backstay {
namespace {

bool IsCertificateProblem(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
         code == CURLE_SSL_ISSUER_ERROR;
}

bool HasOneOf(const std::string& text, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](const char* each) { return text.find(each) != std::string::npos; });
}

// Some servers without TLS answer what they do not understand, others close the connection or wait
// for more.
Status TlsFailure(const std::string& text) {
  if (HasOneOf(text, {"wrong version number", "http request", "packet length too long"})) {
    return {Code::kInvalid,
            text +
                "; the server does not speak TLS there: write http:// in place of https://, or "
                "correct the port"};
  }
  if (HasOneOf(text, {"error:"})) {
    return {Code::kInvalid, text +
                                "; the server and this machine agree on no TLS connection: see "
                                "which versions and ciphers the server offers"};
  }
  return {Code::kUnavailable,
          text + "; if the server does not speak TLS, write http:// in place of https://", true};
}

}  // namespace

Status HttpFailure(CURLcode code, const std::string& text, bool https, bool answered) {
  if (IsCertificateProblem(code)) {
    return {Code::kInvalid,
            text +
                "; name a file with the server's CA certificate in ca-file (or AWS_CA_BUNDLE), "
                "or set skip-verify to accept any"};
  }
  const bool in_handshake = code == CURLE_OPERATION_TIMEDOUT && HasOneOf(text, {"SSL connection"});
  if (code == CURLE_SSL_CONNECT_ERROR || in_handshake) return TlsFailure(text);
  // The alert of a server that expects TLS is taken for the oldest form of an answer.
  if (code == CURLE_UNSUPPORTED_PROTOCOL && HasOneOf(text, {"HTTP/0.9"})) {
    return {Code::kInvalid,
            "the server does not answer in HTTP; if it speaks TLS, write https:// in place of "
            "http://, or correct the port"};
  }
  if (code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL) {
    return {Code::kInvalid, text + "; the endpoint must be http://host[:port] or https://…"};
  }
  const bool closed = code == CURLE_RECV_ERROR || code == CURLE_GOT_NOTHING;
  if (closed && !https && !answered) {
    return {Code::kUnavailable,
            text + "; if the server speaks TLS, write https:// in place of http://", true};
  }
  return {Code::kUnavailable, text, true};
}

}  // namespace backstay
