// The XML that S3 speaks: read answers, write request bodies.
//
// Pure functions, any thread. The readers are total: any bytes give a value or kUnavailable (a
// proxy's page or a cut answer in place of S3's: trying again may help), and memory stays
// proportional to the input, which the transport has bounded.
// Shapes: docs.aws.amazon.com/AmazonS3/latest/API (ListObjectsV2, DeleteObjects,
// CreateMultipartUpload, CompleteMultipartUpload, ErrorResponses).

#ifndef BACKSTAY_UPLOADER_STORAGE_S3_XML_H_
#define BACKSTAY_UPLOADER_STORAGE_S3_XML_H_

#include <string>
#include <string_view>
#include <vector>

#include "uploader/base/status.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

struct S3ErrorBody {
  std::string code;  // "NoSuchKey"; empty when the bytes are no S3 error
  std::string message;
  std::string key;         // in a DeleteObjects result
  std::string region;      // the right one, when the wrong one was used
  std::string endpoint;    // the host of the bucket, when another one was asked
  std::string request_id;  // by which the server's own log knows it
  bool in_success = false;
};

struct S3ListedObject : ObjectInfo {  // full key, decoded
  bool sized = false;                 // the server gave a size
};

struct S3ListPage {
  bool encoded = false;  // the server says that it has encoded the keys, which are decoded here
  std::vector<S3ListedObject> objects;
  std::vector<std::string> folders;  // common prefixes, decoded
  std::string prefix;                // what the server says it was asked for, decoded; or empty
  std::string prefix_as_sent;        // the same, not decoded
  bool says_end = false;             // the server said whether more follows
  bool truncated = false;            // more follows
  std::string next_token;
};

S3ErrorBody ParseS3Error(std::string_view xml);
Result<S3ListPage> ParseS3List(std::string_view xml);
// Of a page whose keys are encoded without a word of it.
void DecodeKeys(S3ListPage* page);
Result<std::string> ParseS3UploadId(std::string_view xml);
// The keys that were not deleted, with the reason.
Result<std::vector<S3ErrorBody>> ParseS3DeleteResult(std::string_view xml);

// XML 1.0 has no way to write control characters or bytes that are not UTF-8.
bool FitsInXml(std::string_view key);
// REQUIRES: FitsInXml of each key.
std::string S3DeleteBody(const std::vector<std::string>& keys);
// ETags of parts 1, 2, … as the server gave them.
std::string S3CompleteBody(const std::vector<std::string>& etags);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_S3_XML_H_
