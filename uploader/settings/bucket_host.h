// BucketHost: an s3 URL that names its server, as the providers and other programs write it:
// s3://bucket.nyc3.digitaloceanspaces.com/prefix, s3://ACCOUNT.r2.cloudflarestorage.com/bucket.
//
// Pure, any thread; called by replica_url. What is no known provider's host is a bucket's name.

#ifndef BACKSTAY_UPLOADER_SETTINGS_BUCKET_HOST_H_
#define BACKSTAY_UPLOADER_SETTINGS_BUCKET_HOST_H_

#include <optional>
#include <string>
#include <string_view>

namespace backstay {

struct BucketHost {
  std::string bucket = {};    // empty: it is the first folder of the path
  std::string endpoint = {};  // "https://nyc3.digitaloceanspaces.com"
  std::string region = {};    // empty: the host does not say
  std::string base = {};      // path of the endpoint, with which the URL's path begins; or empty
  std::string provider = {};  // ".digitaloceanspaces.com"; empty: this machine
};

// `authority`: what stands between "s3://" and the next '/'.
std::optional<BucketHost> ParseBucketHost(std::string_view authority);

// Whether the server wants the bucket in its host's name.
bool WantsBucketInHost(std::string_view host);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_BUCKET_HOST_H_
