#include "uploader/storage/s3_answer.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

namespace backstay {
namespace {

// Without the white space, comments and declarations that may stand before a document.
std::string_view DocumentOf(std::string_view text) {
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  for (;;) {
    text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
    const bool comment = text.starts_with("<!--");
    if (!comment && !text.starts_with("<?")) return text;
    const std::string_view close = comment ? "-->" : "?>";
    const size_t end = text.find(close);
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + close.size());
  }
}

bool BeginsWith(std::string_view text, std::string_view lower_case) {
  return text.size() >= lower_case.size() &&
         std::equal(lower_case.begin(), lower_case.end(), text.begin(),
                    [](char want, char c) { return want == (c >= 'A' && c <= 'Z' ? c + 32 : c); });
}

bool IsWebPage(const HttpResponse& response) {
  const bool success = response.status >= 200 && response.status < 300;
  if (!success || response.status == 206) return false;
  if (response.body.empty()) {
    // One that is longer than was asked for is cut off before its first byte.
    return BeginsWith(response.Header("content-type"), "text/html") &&
           strtoull(response.Header("content-length").c_str(), nullptr, 10) > 0;
  }
  const std::string_view document = DocumentOf(response.body);
  return BeginsWith(document, "<!doctype html") || BeginsWith(document, "<html");
}

// "aws-chunked" is how an object was sent to the store; some repeat it.
bool IsCompressed(const HttpResponse& response) {
  const std::string coding = response.Header("content-encoding");
  return !response.body.empty() && !coding.empty() && coding != "identity" &&
         coding != "aws-chunked";
}

Status Foreign(const std::string& what) { return {Code::kUnavailable, what, true}; }

}  // namespace

Status IsOfS3(const HttpResponse& response) {
  if (IsWebPage(response)) {
    return Foreign(
        "the answer is a web page, not S3's: something on the way may answer in its place (a "
        "proxy, a login page), or the endpoint is another server's; nothing is told of the "
        "replica by it");
  }
  if (IsCompressed(response)) {
    return Foreign("the answer is compressed (" +
                   response.Header("content-encoding").substr(0, 20) +
                   "), which was not asked for: something on the way (a proxy) has changed it; "
                   "see that it leaves the answers of this server as they are");
  }
  return Status::Ok();
}

S3ErrorBody ErrorInside(const HttpResponse& response) {
  if (response.status == 206 || !BeginsWith(DocumentOf(response.body), "<error")) return {};
  S3ErrorBody error = ParseS3Error(response.body);
  error.in_success = true;
  if (std::string id = RequestIdOf(response); !id.empty()) error.request_id = id;
  return error;
}

std::string RequestIdOf(const HttpResponse& response) {
  return response.Header("x-amz-request-id");
}

}  // namespace backstay
