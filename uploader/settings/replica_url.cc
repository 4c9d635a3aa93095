#include "uploader/settings/replica_url.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "uploader/base/url_text.h"
#include "uploader/settings/access_point.h"
#include "uploader/settings/bucket_host.h"
#include "uploader/settings/object_settings.h"
#include "uploader/settings/table.h"
#include "uploader/settings/units.h"
#include "uploader/settings/url_parts.h"

namespace backstay {
namespace {

constexpr char kForms[] = "write s3://bucket/prefix or file:///folder";
constexpr char kPlaceholder[] = "{name}";

Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

std::string ReplaceAll(std::string text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// RFC 3986, 2.1; '+' stays '+'.
Result<std::string> PercentDecode(std::string_view text, const char* part) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    int high = i + 2 < text.size() ? HexDigit(text[i + 1]) : -1;
    int low = i + 2 < text.size() ? HexDigit(text[i + 2]) : -1;
    int value = high * 16 + low;
    if (high < 0 || low < 0 || value == 0) {
      return Invalid(std::string("a % in the ") + part + " starts no character; write %25 for %");
    }
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

// Amazon's rule for general purpose buckets, plus what older buckets and Ceph allow.
Status CheckBucket(const std::string& bucket) {
  if (bucket.empty()) {
    return Invalid("the bucket is missing; write s3://bucket/prefix, or set \"bucket\"");
  }
  const std::string letters = ReplaceAll(bucket, kPlaceholder, "name");
  bool good = std::all_of(letters.begin(), letters.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
  if (good && letters.size() <= 255 && letters[0] != '.') return {};
  return Invalid(
      "the bucket's name may hold letters, digits, '-', '.' and '_'; the prefix goes behind a '/', "
      "credentials into BACKSTAY_ACCESS_KEY_ID and BACKSTAY_SECRET_ACCESS_KEY");
}

// A segment "." or ".." would be resolved away by proxies and HTTP libraries, not by all alike.
Status CheckPrefix(const std::string& prefix) {
  if (HasControlCharacter(prefix)) return Invalid("the path holds a control character");
  if (prefix.size() > 900) return Invalid("the path is longer than 900 bytes");
  std::string_view rest = prefix;
  while (!rest.empty()) {
    std::string_view segment = rest.substr(0, rest.find('/'));
    if (segment == "." || segment == "..") {
      return Invalid("the path holds a segment \".\" or \"..\"; write it without");
    }
    rest.remove_prefix(std::min(rest.size(), segment.size() + 1));
  }
  return {};
}

// Whether `endpoint` is http(s), a host, and perhaps a port and a path.
bool IsPlainEndpoint(const std::string& endpoint) {
  if (endpoint.rfind("http://", 0) != 0 && endpoint.rfind("https://", 0) != 0) return false;
  const UrlParts url(endpoint);
  return url.valid() && !url.Part(CURLUPART_HOST).empty() && url.Part(CURLUPART_USER).empty() &&
         url.Part(CURLUPART_PASSWORD).empty() &&
         endpoint.find_first_of("?#@%\\") == std::string::npos &&
         endpoint.find("/..") == std::string::npos && endpoint.find("/./") == std::string::npos;
}

Status FinishEndpoint(const std::string& bucket, std::string* endpoint) {
  if (endpoint->empty()) return {};
  *endpoint = WithScheme(*endpoint);
  if (!IsPlainEndpoint(*endpoint)) {
    return Invalid(
        "the endpoint (of the replica, else AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL) must look "
        "like "
        "https://host or http://host:port, without user or query");
  }
  while (endpoint->back() == '/') endpoint->pop_back();
  if (endpoint->ends_with("/" + bucket) && !endpoint->ends_with("//" + bucket)) {
    return Invalid("the endpoint ends with the bucket, " + Quote(bucket) +
                   "; write it without, the bucket is known from elsewhere");
  }
  return {};
}

// It lies where it says.
Status FinishAccessPoint(ReplicaSettings* replica) {
  Result<AccessPoint> point = ParseAccessPoint(replica->bucket);
  if (!point.ok()) return point.error();
  if (!replica->endpoint.empty()) {
    return Invalid(
        "an access point is Amazon's: it goes without an endpoint (of the replica, "
        "AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL)");
  }
  replica->region = point->region;
  replica->region_given = true;
  return {};
}

Status FinishS3(ReplicaSettings* replica) {
  BACKSTAY_TRY(IsArn(replica->bucket) ? FinishAccessPoint(replica) : CheckBucket(replica->bucket));
  std::string& path = replica->path;
  path.erase(0, std::min(path.find_first_not_of('/'), path.size()));
  path.erase(path.find_last_not_of('/') + 1);
  BACKSTAY_TRY(CheckPrefix(path));
  BACKSTAY_TRY(FinishEndpoint(replica->bucket, &replica->endpoint));
  if (replica->region.empty() || HasControlCharacter(replica->region) ||
      replica->region.find_first_of("/ ") != std::string::npos) {
    return Invalid("the region must be a name such as us-east-1");
  }
  if (replica->access_key_id.empty() != replica->secret_access_key.empty()) {
    return Invalid(replica->access_key_id.empty()
                       ? "secret-access-key is set without access-key-id; set both or neither"
                       : "access-key-id is set without secret-access-key; set both or neither");
  }
  if (!replica->session_token.empty() && replica->access_key_id.empty()) {
    return Invalid("session-token is set without access-key-id and secret-access-key");
  }
  ChoosePathStyle(replica);
  return FinishObjects(replica->endpoint, &replica->objects);
}

Status FinishFile(ReplicaSettings* replica) {
  std::string& path = replica->path;
  if (!replica->bucket.empty() || !replica->endpoint.empty()) {
    return Invalid(
        "\"bucket\" and \"endpoint\" belong to a replica of type s3, this one is a file");
  }
  if (replica->objects != ObjectSettings()) {
    return Invalid(
        "storage-class, sse, tags and the like belong to a replica of type s3, this one is a file");
  }
  if (path.empty()) return Invalid("the folder is missing; write file:///folder, or set \"path\"");
  if (path[0] != '/') {
    return Invalid("the folder " + Quote(path) +
                   " is relative; write an absolute one, as in file:///folder");
  }
  if (path.find('\0') != std::string::npos) return Invalid("the folder's name holds a NUL");
  path = std::filesystem::path(path).lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (path == "/") return Invalid("the folder \"/\" cannot be a replica; name one below it");
  return {};
}

// Splits "a=b&c=d", checks the names against the table and sets the values.
Status ParseQuery(std::string_view query, ReplicaSettings* replica) {
  std::set<std::string> seen;
  while (!query.empty()) {
    std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (pair.empty()) continue;
    size_t equals = std::min(pair.find('='), pair.size());
    const std::string name(pair.substr(0, equals));
    const Setting* setting = replica->type == "s3" ? FindUrlParameter(name) : nullptr;
    if (setting == nullptr) return UnknownUrlParameter(name, replica->type);
    if (!seen.insert(name).second) return Invalid("parameter " + name + " is given twice");
    Result<std::string> value =
        PercentDecode(pair.substr(std::min(equals + 1, pair.size())), "query");
    if (!value.ok()) return value.error().Wrap("parameter " + name);
    if (value->empty()) return Invalid("parameter " + name + " has no value");
    SettingTarget target;
    target.replica = replica;
    BACKSTAY_TRY(
        SetSetting(*setting, *value, target, {Origin::kUrl, name}).Wrap("parameter " + name));
  }
  return {};
}

// Said by the URL's host.
Status SayByHost(const char* key, const std::string& value, ReplicaSettings* replica) {
  if (value.empty()) return {};
  SettingTarget target;
  target.replica = replica;
  return SetSetting(*FindKey(Scope::kReplica, key), value, target, {Origin::kUrl, "its host"});
}

// `path` begins with '/', or is empty.
Status TakeHost(BucketHost host, std::string_view authority, std::string_view path,
                ReplicaSettings* replica) {
  const bool below = path.starts_with(host.base) &&
                     (path.size() == host.base.size() || path[host.base.size()] == '/');
  if (host.bucket.empty()) {
    path.remove_prefix(below ? std::min(host.base.size() + 1, path.size()) : path.size());
    host.bucket = path.substr(0, path.find('/'));
    path.remove_prefix(host.bucket.size());
  }
  if (host.bucket.empty()) {
    return Invalid("the bucket is missing; behind the server write it as in s3://" +
                   std::string(authority) + host.base + "/bucket/prefix");
  }
  replica->bucket = std::move(host.bucket);
  replica->path = path;
  BACKSTAY_TRY(SayByHost("endpoint", host.endpoint, replica));
  return SayByHost("region", host.region, replica);
}

Status TakeAuthority(std::string_view authority, std::string_view path, ReplicaSettings* replica) {
  if (IsArn(authority)) {
    replica->bucket = authority;
    // "…:accesspoint/name": the name is of the ARN.
    if (authority.ends_with(":accesspoint") && path.size() > 1) {
      const size_t end = std::min(path.find('/', 1), path.size());
      replica->bucket += path.substr(0, end);
      path.remove_prefix(end);
    }
    replica->path = path;
    return {};
  }
  const bool user = authority.find('@') != std::string_view::npos;
  if (std::optional<BucketHost> host = ParseBucketHost(authority); host && !user) {
    return TakeHost(std::move(*host), authority, path, replica);
  }
  if (user || authority.find(':') != std::string_view::npos) {
    return Invalid(
        "no user, password or port may stand before the bucket; credentials go into "
        "BACKSTAY_ACCESS_KEY_ID and BACKSTAY_SECRET_ACCESS_KEY, a server into ?endpoint=");
  }
  if (authority.ends_with(".amazonaws.com")) {
    return Invalid("the host " + Quote(authority) +
                   " is none of Amazon S3's; write s3://bucket/prefix?region=…");
  }
  replica->bucket = authority;
  replica->path = path;
  return {};
}

// `rest` is what stands between "s3://" and '?'.
Status ParseS3(std::string_view rest, ReplicaSettings* replica) {
  replica->type = "s3";
  const std::string_view authority = rest.substr(0, rest.find('/'));
  Result<std::string> path = PercentDecode(rest.substr(authority.size()), "path");
  if (!path.ok()) return path.error();
  return TakeAuthority(authority, *path, replica);
}

Status ParseFile(std::string_view rest, ReplicaSettings* replica) {
  replica->type = "file";
  Result<std::string> path = PercentDecode(rest, "path");
  if (!path.ok()) return path.error();
  replica->path = *path;
  return {};
}

Result<ReplicaSettings> Parse(const std::string& url) {
  if (url.empty()) return Invalid(std::string("it is empty; ") + kForms);
  size_t colon = url.find("://");
  if (url[0] == '/' || colon == std::string::npos) {
    return Invalid(std::string("it has no scheme; ") + kForms);
  }
  const std::string scheme = LowerCase(url.substr(0, colon));
  if (scheme != "s3" && scheme != "file") {
    return Invalid("scheme " + Quote(scheme) + " is not supported, only s3 and file are; " +
                   kForms);
  }
  if (url.find('#') != std::string::npos) return Invalid("it holds a '#'; write %23");
  std::string_view rest = std::string_view{url}.substr(colon + 3);
  size_t question = std::min(rest.find('?'), rest.size());
  ReplicaSettings replica;
  std::string_view place = rest.substr(0, question);
  BACKSTAY_TRY(scheme == "s3" ? ParseS3(place, &replica) : ParseFile(place, &replica));
  BACKSTAY_TRY(ParseQuery(rest.substr(std::min(question + 1, rest.size())), &replica));
  BACKSTAY_TRY(FinishReplica(&replica));
  return replica;
}

}  // namespace

std::string ReplicaSettings::Describe() const {
  if (type == "file") return "file://" + UrlText(path);
  return "s3://" + bucket + (path.empty() ? "" : "/" + UrlText(path));
}

Status FinishReplica(ReplicaSettings* replica) {
  if (replica->type.empty()) {
    if (!replica->bucket.empty()) replica->type = "s3";
    if (replica->bucket.empty() && replica->path[0] == '/') replica->type = "file";
  }
  if (replica->type == "s3") return FinishS3(replica);
  if (replica->type == "file") return FinishFile(replica);
  if (replica->type.empty()) {
    return Invalid("type and bucket are missing; set \"type\" to s3 or file, or give a \"url\"");
  }
  return Invalid("type " + Quote(replica->type) + " is not supported, only s3 and file are");
}

std::string WithScheme(const std::string& endpoint) {
  if (endpoint.empty() || endpoint.find("://") != std::string::npos) return endpoint;
  const std::string host = endpoint.substr(0, endpoint.find_first_of(":/", 1));
  const bool local = host == "localhost" || host.ends_with(".localhost") ||
                     host.rfind("127.", 0) == 0 || endpoint.rfind("[::1]", 0) == 0;
  return (local ? "http://" : "https://") + endpoint;
}

void ChoosePathStyle(ReplicaSettings* replica) {
  if (replica->force_path_style_given || replica->endpoint.empty()) return;
  const UrlParts url(WithScheme(replica->endpoint));
  replica->force_path_style = !url.valid() || !WantsBucketInHost(url.Part(CURLUPART_HOST));
}

Status ExpandName(const std::string& name, ReplicaSettings* replica) {
  replica->bucket = ReplaceAll(replica->bucket, kPlaceholder, name);
  replica->path = ReplaceAll(replica->path, kPlaceholder, name);
  return FinishReplica(replica);
}

bool HasNamePlaceholder(const ReplicaSettings& replica) {
  return replica.bucket.find(kPlaceholder) != std::string::npos ||
         replica.path.find(kPlaceholder) != std::string::npos;
}

std::string Location(const ReplicaSettings& replica) {
  return replica.type + '\n' + replica.bucket + '\n' + replica.path + '\n' + replica.endpoint;
}

Result<ReplicaSettings> ParseReplicaUrl(const std::string& url, const std::string& name) {
  Result<ReplicaSettings> replica = Parse(url);
  if (!replica.ok()) return replica.error().Wrap("replica URL");
  if (!name.empty()) BACKSTAY_TRY(ExpandName(name, &*replica).Wrap("replica URL"));
  return replica;
}

}  // namespace backstay
