#include "uploader/storage/bucket_place.h"

#include <optional>
#include <string_view>
#include <utility>

#include "uploader/base/caught.h"
#include "uploader/settings/bucket_host.h"
#include "uploader/settings/url_parts.h"
#include "uploader/storage/s3_error.h"

namespace backstay {
namespace {

bool IsRegion(const std::string& text) {
  return !text.empty() && text.size() < 64 &&
         text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

// Of a URL that the server gives.
struct Target {
  std::string scheme, host, port, path;

  explicit Target(const UrlParts& url)
      : scheme(url.Part(CURLUPART_SCHEME)),
        host(url.Part(CURLUPART_HOST)),
        port(url.Part(CURLUPART_PORT, CURLU_NO_DEFAULT_PORT)),
        path(url.Part(CURLUPART_PATH, CURLU_URLDECODE)) {}

  std::string Place() const { return scheme + "://" + HostAndPort(); }
  std::string HostAndPort() const { return port.empty() ? host : host + ":" + port; }
};

// Whether what is signed for `base`, a server, may go to `to`.
bool IsTrusted(const Target& to, const Target& base, const std::string& bucket) {
  if (to.scheme != "https" && to.scheme != base.scheme) return false;
  if (to.host == base.host || to.host == bucket + "." + base.host) return to.port == base.port;
  const std::optional<BucketHost> theirs = ParseBucketHost(to.host);
  const std::optional<BucketHost> ours = ParseBucketHost(base.host);
  return theirs && ours && !ours->provider.empty() && theirs->provider == ours->provider &&
         to.port.empty();
}

bool HoldsBucket(const Target& to, const Target& base, const std::string& bucket) {
  if (to.host == bucket + "." + base.host) return true;
  const std::optional<BucketHost> known = ParseBucketHost(to.host);
  return known && known->bucket == bucket;
}

// What stands before the key in a path to it; nullopt: the path leads elsewhere.
std::optional<std::string> BeforeKey(const Target& to, const std::string& key,
                                     const std::string& in_path, const std::string& known) {
  std::string path = to.path;
  while (key.empty() && path.ends_with('/')) path.pop_back();
  if (!key.empty()) {
    if (!path.ends_with("/" + key)) return std::nullopt;
    path.resize(path.size() - key.size() - 1);
  }
  if (path == known || path == in_path) return path;
  return std::nullopt;
}

}  // namespace

KnownPlace::KnownPlace(const ReplicaSettings& replica, S3Endpoint endpoint, Note note)
    : replica_(replica), note_(std::move(note)), now_{std::move(endpoint), replica.region} {}

BucketPlace KnownPlace::Now() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return now_;
}

void KnownPlace::SayLocked(const std::string& text) {
  if (std::exchange(said_, true) || !note_) return;
  (void)Caught([&] { return note_(text), Status::Ok(); });
}

// Of a provider's endpoint the one there; any other stays.
S3Endpoint KnownPlace::EndpointIn(const std::string& region) const {
  ReplicaSettings there = replica_;
  there.region = region;
  const std::string host = UrlParts(now_.endpoint.display).Part(CURLUPART_HOST);
  const std::optional<BucketHost> known = ParseBucketHost(host);
  const size_t at =
      known && !known->region.empty() ? there.endpoint.find(known->region) : std::string::npos;
  if (at != std::string::npos) there.endpoint.replace(at, known->region.size(), region);
  Result<S3Endpoint> endpoint = ResolveS3Endpoint(there);
  return endpoint.ok() && (at != std::string::npos || there.endpoint.empty()) ? *endpoint
                                                                              : now_.endpoint;
}

bool KnownPlace::TakeRegion(const std::string& region, BucketPlace* place) {
  std::lock_guard<std::mutex> lock(mutex_);
  // Another thread may have learned it meanwhile.
  if (now_.region != region) {
    now_ = {EndpointIn(region), region};
    SayLocked("bucket " + replica_.bucket + " is in region " + region + ", not " + place->region +
              ": requests are signed for that from now on; set region to " + region +
              ", which saves a request at each start");
  }
  *place = now_;
  return true;
}

// `key`: null where the URL has no path.
Result<bool> KnownPlace::TakeHost(const std::string& url, const std::string* key, bool lasts,
                                  BucketPlace* place) {
  const UrlParts to_parts(url);
  const UrlParts base_parts(place->endpoint.display);
  if (!to_parts.valid() || !base_parts.valid()) return false;
  const Target to(to_parts);
  const Target base(base_parts);
  const std::string& bucket = replica_.bucket;
  if (!IsTrusted(to, base, bucket)) {
    return Status(Code::kInvalid, "the server redirects to " + to.Place() +
                                      ", which is not of the same provider: nothing is sent "
                                      "there; correct `endpoint`");
  }
  const bool in_host = HoldsBucket(to, base, bucket);
  std::optional<std::string> path = in_host ? "" : "/" + bucket;
  if (key != nullptr) path = BeforeKey(to, *key, *path, place->endpoint.path);
  if (!path) {
    return Status(Code::kInvalid, "the server redirects to " + to.Place() +
                                      ", but not to the same object there: the answer is not "
                                      "S3's; correct `endpoint`");
  }
  const std::string host = to.HostAndPort();
  BucketPlace there{{.scheme = to.scheme,
                     .host = host,
                     .path = *path,
                     .display = to.scheme + "://" + host.substr(in_host ? bucket.size() + 1 : 0)},
                    place->region};
  const std::optional<BucketHost> known = ParseBucketHost(to.host);
  if (known && IsRegion(known->region)) there.region = known->region;
  const bool same = there.endpoint.host == place->endpoint.host &&
                    there.endpoint.scheme == place->endpoint.scheme &&
                    there.endpoint.path == place->endpoint.path && there.region == place->region;
  if (same) return false;
  *place = there;
  if (!lasts) return true;
  std::lock_guard<std::mutex> lock(mutex_);
  now_ = std::move(there);
  SayLocked("bucket " + bucket + " is at " + now_.endpoint.display +
            ": requests go there from "
            "now on; set endpoint to that, which saves a request at each start");
  return true;
}

Result<bool> KnownPlace::Follows(const HttpResponse& answer, const std::string& key,
                                 BucketPlace* place) {
  if (answer.status < 300 || answer.status > 400) return false;
  const S3ErrorBody error = ParseS3Error(answer.body);
  const bool redirected = answer.status == 302 || answer.status == 308;
  if (!redirected && !IsElsewhere(answer.status, error.code)) return false;
  const std::string header = answer.Header("x-amz-bucket-region");
  const std::string& region = header.empty() ? error.region : header;
  if (IsRegion(region) && region != place->region) return TakeRegion(region, place);
  const bool lasts = answer.status == 301 || answer.status == 308;
  const std::string location = answer.Header("location");
  if (location.starts_with("http://") || location.starts_with("https://")) {
    return TakeHost(location, &key, lasts, place);
  }
  if (error.endpoint.empty()) return false;
  return TakeHost(place->endpoint.scheme + "://" + error.endpoint, nullptr, lasts, place);
}

}  // namespace backstay
