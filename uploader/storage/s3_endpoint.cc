#include "uploader/storage/s3_endpoint.h"

#include <string_view>

#include "uploader/settings/access_point.h"
#include "uploader/settings/bucket_host.h"
#include "uploader/settings/replica_url.h"
#include "uploader/settings/url_parts.h"

namespace backstay {
namespace {

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

// An address has no host below it.
bool IsName(std::string_view host) {
  const std::string_view last = host.substr(host.rfind('.') + 1);
  return last.find_first_not_of("0123456789") != std::string_view::npos;
}

// As the settings say; where they do not, as the server wants it.
bool BucketInHost(const ReplicaSettings& settings, const std::string& host) {
  if (settings.force_path_style || !IsName(host) || host.starts_with('[')) return false;
  return settings.force_path_style_given || WantsBucketInHost(host);
}

bool FitsInHostName(const std::string& bucket, const std::string& scheme) {
  if (bucket.size() > 63) return false;
  for (char c : bucket) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    if (!letter && !(c == '.' && scheme == "http")) return false;
  }
  return true;
}

std::string AwsEndpoint(const std::string& region) {
  bool china = region.rfind("cn-", 0) == 0;
  return "https://s3." + region + (china ? ".amazonaws.com.cn" : ".amazonaws.com");
}

Status BadEndpoint(const std::string& why) {
  return {Code::kInvalid, "endpoint: " + why + "; write http://host[:port] or https://host[:port]"};
}

Status CheckNames(const ReplicaSettings& settings) {
  if (settings.bucket.empty()) {
    return {Code::kInvalid,
            "the s3 replica has no bucket: write s3://bucket/path, or set `bucket`"};
  }
  if (settings.bucket.find_first_of("/?#% \t\r\n") != std::string::npos) {
    return {Code::kInvalid, "bucket `" + settings.bucket + "`: not a bucket's name"};
  }
  if (settings.region.empty() ||
      settings.region.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                        "0123456789-_") != std::string::npos) {
    return {Code::kInvalid, "region `" + settings.region + "`: not a region's name"};
  }
  return Status::Ok();
}

// Refuses what has no meaning in an endpoint; user information may be a secret and is not shown.
Status CheckParts(const UrlParts& url, const std::string& endpoint) {
  if (!url.Part(CURLUPART_USER).empty() || !url.Part(CURLUPART_PASSWORD).empty()) {
    return BadEndpoint("must not hold a user name or password");
  }
  std::string scheme = url.Part(CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return BadEndpoint("`" + endpoint + "` is not HTTP");
  if (!url.Part(CURLUPART_QUERY).empty() || !url.Part(CURLUPART_FRAGMENT).empty()) {
    return BadEndpoint("`" + endpoint + "` must end after the host or path");
  }
  return Status::Ok();
}

}  // namespace

Result<S3Endpoint> ResolveS3Endpoint(const ReplicaSettings& settings) {
  if (IsArn(settings.bucket)) {
    Result<AccessPoint> point = ParseAccessPoint(settings.bucket);
    if (!point.ok()) return point.error();
    return S3Endpoint{.scheme = "https",
                      .host = point->Host(),
                      .path = "",
                      .display = "https://" + point->Server()};
  }
  BACKSTAY_TRY(CheckNames(settings));
  std::string endpoint =
      settings.endpoint.empty() ? AwsEndpoint(settings.region) : settings.endpoint;
  endpoint = WithScheme(endpoint);
  const UrlParts url(endpoint);
  if (!url.valid()) return BadEndpoint("it is not a URL");
  BACKSTAY_TRY(CheckParts(url, endpoint));

  S3Endpoint out;
  std::string host = url.Part(CURLUPART_HOST);
  out.scheme = url.Part(CURLUPART_SCHEME);
  std::string port = url.Part(CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
  if (!port.empty()) port = ":" + port;
  out.path = url.Part(CURLUPART_PATH, CURLU_URLDECODE);
  while (EndsWith(out.path, "/")) out.path.pop_back();
  out.display = out.scheme + "://" + host + port + out.path;
  if (BucketInHost(settings, host) && FitsInHostName(settings.bucket, out.scheme)) {
    host = settings.bucket + "." + host;
  } else {
    out.path += "/" + settings.bucket;
  }
  out.host = host + port;
  return out;
}

}  // namespace backstay
