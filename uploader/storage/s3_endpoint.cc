#include "uploader/storage/s3_endpoint.h"

#include <curl/curl.h>

#include <memory>
#include <string_view>

namespace backstay {
namespace {

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool NeedsVirtualHost(const std::string& host) {
  for (const char* domain :
       {".amazonaws.com", ".amazonaws.com.cn", ".aliyuncs.com", ".myqcloud.com"}) {
    if (EndsWith(host, domain)) return true;
  }
  return false;
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

using Url = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

std::string Part(const Url& url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url.get(), part, &text, flags) != CURLUE_OK) return "";
  std::string out = text;
  curl_free(text);
  return out;
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
Status CheckParts(const Url& url, const std::string& endpoint) {
  if (!Part(url, CURLUPART_USER).empty() || !Part(url, CURLUPART_PASSWORD).empty()) {
    return BadEndpoint("must not hold a user name or password");
  }
  std::string scheme = Part(url, CURLUPART_SCHEME);
  if (scheme != "http" && scheme != "https") return BadEndpoint("`" + endpoint + "` is not HTTP");
  if (!Part(url, CURLUPART_QUERY).empty() || !Part(url, CURLUPART_FRAGMENT).empty()) {
    return BadEndpoint("`" + endpoint + "` must end after the host or path");
  }
  return Status::Ok();
}

}  // namespace

Result<S3Endpoint> ResolveS3Endpoint(const ReplicaSettings& settings) {
  BACKSTAY_TRY(CheckNames(settings));
  std::string endpoint =
      settings.endpoint.empty() ? AwsEndpoint(settings.region) : settings.endpoint;
  if (endpoint.find("://") == std::string::npos) endpoint = "https://" + endpoint;
  Url url(curl_url(), &curl_url_cleanup);
  if (curl_url_set(url.get(), CURLUPART_URL, endpoint.c_str(), 0) != CURLUE_OK) {
    return BadEndpoint("it is not a URL");
  }
  BACKSTAY_TRY(CheckParts(url, endpoint));

  S3Endpoint out;
  std::string host = Part(url, CURLUPART_HOST);
  out.scheme = Part(url, CURLUPART_SCHEME);
  std::string port = Part(url, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
  if (!port.empty()) port = ":" + port;
  out.path = Part(url, CURLUPART_PATH, CURLU_URLDECODE);
  while (EndsWith(out.path, "/")) out.path.pop_back();
  out.display = out.scheme + "://" + host + port + out.path;
  if (!settings.force_path_style && NeedsVirtualHost(host) &&
      FitsInHostName(settings.bucket, out.scheme)) {
    host = settings.bucket + "." + host;
  } else {
    out.path += "/" + settings.bucket;
  }
  out.host = host + port;
  return out;
}

}  // namespace backstay
