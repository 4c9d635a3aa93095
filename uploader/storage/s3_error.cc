#include "uploader/storage/s3_error.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "uploader/storage/s3_answer.h"

namespace backstay {
namespace {

constexpr size_t kMaxShown = 300;
constexpr int64_t kMaxRetryAfterMs = 3600 * 1000;

bool OneOf(std::string_view code, std::initializer_list<std::string_view> codes) {
  return std::find(codes.begin(), codes.end(), code) != codes.end();
}

// The server's words in one line, cut to a readable length; nothing if they hold a secret.
std::string Shown(const S3Call& call, const std::string& text) {
  for (const std::string& secret : call.secrets) {
    if (!secret.empty() && text.find(secret) != std::string::npos) return "";
  }
  std::string out = text.substr(0, kMaxShown);
  for (char& c : out) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return out;
}

// "HTTP status 403, AccessDenied (no right to it), request id 4442587FB7D0A2F9"
std::string Words(const S3Call& call, int http_status, const S3ErrorBody& error) {
  std::string text = "HTTP status " + std::to_string(error.in_success ? 200 : http_status);
  const std::string code = Shown(call, error.code);
  if (!code.empty()) text += ", " + code;
  // Some servers say the code twice.
  const std::string message = Shown(call, error.message);
  if (!message.empty() && message != code) text += " (" + message + ")";
  const std::string id = Shown(call, error.request_id);
  return id.empty() ? text : text + ", request id " + id;
}

bool IsDenied(int http_status, std::string_view code) {
  return http_status == 401 || http_status == 403 ||
         OneOf(code, {"AccessDenied", "ExpiredToken", "InvalidToken", "TokenRefreshRequired",
                      "InvalidAccessKeyId", "SignatureDoesNotMatch"});
}

// The server's own trouble, or bytes damaged on the way: the same request may succeed later.
bool IsPassing(int http_status, std::string_view code) {
  return http_status >= 500 || http_status == 429 || http_status == 408 ||
         OneOf(code, {"RequestTimeout", "InternalError", "SlowDown", "ServiceUnavailable",
                      "BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody",
                      "OperationAborted", "ConditionalRequestConflict", "NoSuchUpload"});
}

Status WrongRegion(const S3Call& call, const std::string& text, const std::string& region) {
  if (region.empty() || region == call.region) {
    return {Code::kInvalid, text +
                                ": the bucket is at another endpoint or in another region than `" +
                                call.region + "`; correct `endpoint` or `region`"};
  }
  return {Code::kInvalid, text + ": bucket `" + call.bucket + "` is in region `" + region +
                              "`, not `" + call.region + "`; set the region to `" + region + "`"};
}

Status Denied(const std::string& text, std::string_view code) {
  if (code == "RequestTimeTooSkewed") {
    // The clock of a small board is often wrong until the network time arrives.
    return {Code::kDenied,
            text + ": this machine's clock differs too much from the server's; set it", true};
  }
  if (code == "InvalidAccessKeyId") {
    return {Code::kDenied, text + ": the server does not know the access key id"};
  }
  if (code == "SignatureDoesNotMatch") {
    return {Code::kDenied, text + ": the secret access key does not belong to the access key id"};
  }
  if (OneOf(code, {"ExpiredToken", "TokenRefreshRequired"})) {
    return {Code::kDenied, text + ": the session token has expired; get new credentials"};
  }
  return {Code::kDenied, text + ": check the credentials and their rights on the bucket"};
}

// One that expects TLS refuses plain HTTP as a bad request.
Status NotS3(const S3Call& call, const std::string& text) {
  const bool plain = call.endpoint.starts_with("http://");
  return {Code::kInvalid, text + ": the answer is not S3's; correct the endpoint" +
                              (plain ? " (if the server speaks TLS: https://)" : "")};
}

Status NotFound(const S3Call& call, const std::string& text, std::string_view code) {
  if (code == "NoSuchKey") return {Code::kNotFound, text};
  if (code == "NoSuchBucket") {
    return {Code::kNoBucket, text + ": bucket `" + call.bucket + "` does not exist at " +
                                 call.endpoint + "; create it, or correct the bucket's name"};
  }
  // Not taken for a missing key: a mistyped endpoint must not look like an empty replica.
  return NotS3(call, text);
}

}  // namespace

bool IsElsewhere(int http_status, std::string_view code) {
  return http_status == 301 || http_status == 307 ||
         OneOf(code, {"AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect",
                      "IllegalLocationConstraintException"});
}

Status S3Failure(const S3Call& call, int http_status, const S3ErrorBody& error) {
  const std::string& code = error.code;
  const std::string text = call.what + ": " + Words(call, http_status, error);
  if (http_status == 501 || OneOf(code, {"NotImplemented", "MethodNotAllowed"}) ||
      http_status == 405) {
    return {Code::kUnsupported, text + ": the server does not implement this request"};
  }
  if (http_status == 412 || code == "PreconditionFailed") return {Code::kExists, text};
  if (IsElsewhere(http_status, code)) return WrongRegion(call, text, Shown(call, error.region));
  if (IsPassing(http_status, code)) return {Code::kUnavailable, text, true};
  if (IsDenied(http_status, code)) return Denied(text, code);
  if (http_status == 404) return NotFound(call, text, code);
  return code.empty() ? NotS3(call, text) : Status(Code::kInvalid, text);
}

Status S3Failure(const S3Call& call, const HttpResponse& response) {
  S3ErrorBody error = ParseS3Error(response.body);
  if (std::string region = response.Header("x-amz-bucket-region"); !region.empty()) {
    error.region = region;
  }
  if (std::string id = RequestIdOf(response); !id.empty()) error.request_id = id;
  return S3Failure(call, response.status, error);
}

bool IsStaleKey(const HttpResponse& response) {
  if (response.status < 400 || response.status > 403) return false;
  return OneOf(ParseS3Error(response.body).code,
               {"ExpiredToken", "TokenRefreshRequired", "InvalidToken", "InvalidAccessKeyId"});
}

int64_t ParseRetryAfterMs(const std::string& value, int64_t wall_ms) {
  if (value.empty()) return 0;
  int64_t ms = 0;
  if (value.find_first_not_of("0123456789") == std::string::npos) {
    ms = value.size() > 6 ? kMaxRetryAfterMs : std::stoll(value) * 1000;
  } else if (time_t at = curl_getdate(value.c_str(), nullptr); at > 0) {
    ms = static_cast<int64_t>(at) * 1000 - wall_ms;
  }
  return std::clamp<int64_t>(ms, 0, kMaxRetryAfterMs);
}

}  // namespace backstay
