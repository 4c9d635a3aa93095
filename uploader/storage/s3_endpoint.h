// Where an s3 replica lives: from settings to the host and path of its requests.
//
// Pure, any thread. kInvalid names the setting and the remedy, and never holds a secret.
// Virtual-host style (https://bucket.host) is used for AWS, for the stores that refuse anything
// else (Alibaba, Tencent), and where the settings say so; path style (https://host/bucket) for
// every other endpoint, as `mc` and Litestream do, with force_path_style, for an address, and where
// the bucket's name does not fit into a host name (upper case, '_') or under a wildcard certificate
// ('.' with https).

#ifndef BACKSTAY_UPLOADER_STORAGE_S3_ENDPOINT_H_
#define BACKSTAY_UPLOADER_STORAGE_S3_ENDPOINT_H_

#include <string>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"

namespace backstay {

struct S3Endpoint {
  std::string scheme;   // "https"
  std::string host;     // value of the Host header: the port only if it is not the scheme's own
  std::string path;     // decoded; "" (virtual-host style) or "/bucket", no '/' at the end
  std::string display;  // "https://s3.us-east-1.amazonaws.com", for messages
};

Result<S3Endpoint> ResolveS3Endpoint(const ReplicaSettings& settings);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_S3_ENDPOINT_H_
