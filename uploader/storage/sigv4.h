// AWS Signature Version 4: who may make a request, proved without sending the secret.
//
// Pure functions over values, any thread, no state; called by s3_client (and usable for any other
// service: nothing here knows S3). Each stage is a function of its own, so that a refused signature
// can be compared stage by stage. Nothing fails except for lack of memory.
// Rule: docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html. The
// path is never normalised ("." , ".." and "//" stay): S3 keys may hold them.

#ifndef BACKSTAY_UPLOADER_STORAGE_SIGV4_H_
#define BACKSTAY_UPLOADER_STORAGE_SIGV4_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "uploader/base/bytes.h"

namespace backstay::sigv4 {

// Names with values; for a query both are decoded, for headers the name may be in any case.
using Pairs = std::vector<std::pair<std::string, std::string>>;

struct Credentials {
  std::string access_key_id;
  std::string secret_access_key;
  std::string session_token;  // empty: none
};

struct Scope {
  std::string time;  // "20130524T000000Z"
  std::string region;
  std::string service;
};

struct Request {
  std::string method;
  std::string path;  // decoded bytes, begins with '/'
  Pairs query;
  Pairs headers;             // all of them are signed
  std::string payload_hash;  // lower-case hex SHA-256, or a literal such as UNSIGNED-PAYLOAD
};

std::string Sha256Hex(Bytes data);
// ISO 8601 basic format of a wall clock time in ms.
std::string FormatTime(int64_t wall_ms);
// Percent-encodes every byte that is not unreserved (RFC 3986), '/' only if asked.
std::string UriEncode(std::string_view bytes, bool encode_slash);
// Sorted by encoded name, then value; "name=value" joined by '&'. Also good as a URL's query.
std::string CanonicalQuery(const Pairs& query);
// "host;x-amz-date"
std::string SignedHeaders(const Pairs& headers);
std::string CanonicalRequest(const Request& request);
// "20130524/us-east-1/s3/aws4_request"
std::string ScopeText(const Scope& scope);
std::string StringToSign(const Scope& scope, const std::string& canonical_request);
std::string Signature(const Credentials& credentials, const Scope& scope,
                      const std::string& string_to_sign);

// Adds x-amz-date, x-amz-security-token (if there is a token) and authorization.
void Sign(const Credentials& credentials, const Scope& scope, Request* request);

}  // namespace backstay::sigv4

#endif  // BACKSTAY_UPLOADER_STORAGE_SIGV4_H_
