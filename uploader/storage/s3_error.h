// From an S3 server's refusal to a Status that says what to do.
//
// Pure, any thread; called by s3_client for every answer that is not a success, or only calls
// itself one. The message names the call, the HTTP status, the S3 error code, the request id and
// the remedy; `secrets` are kept out of it even if the server repeats them.

#ifndef BACKSTAY_UPLOADER_STORAGE_S3_ERROR_H_
#define BACKSTAY_UPLOADER_STORAGE_S3_ERROR_H_

#include <string>
#include <string_view>
#include <vector>

#include "uploader/base/status.h"
#include "uploader/storage/http.h"
#include "uploader/storage/s3_xml.h"

namespace backstay {

struct S3Call {
  std::string what;  // "PUT s3://bucket/app/log/1 at http://127.0.0.1:9000"
  std::string bucket;
  std::string endpoint;  // for people
  std::string region;    // the one that was signed for
  std::vector<std::string> secrets;
};

// REQUIRES: a status outside 200 to 299, or an error inside a 200 given by `error`.
Status S3Failure(const S3Call& call, int http_status, const S3ErrorBody& error);
// Reads the error from the body and the region from x-amz-bucket-region.
Status S3Failure(const S3Call& call, const HttpResponse& response);

// The bucket is in another region, or at another host.
bool IsElsewhere(int http_status, std::string_view code);

// Whether other keys in place of those that signed may help: these have expired, or are gone.
bool IsStaleKey(const HttpResponse& response);

// Retry-After in ms: seconds, or a date relative to `wall_ms`; 0 if absent or not understood, at
// most one hour.
int64_t ParseRetryAfterMs(const std::string& value, int64_t wall_ms);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_S3_ERROR_H_
