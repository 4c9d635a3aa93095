#include "uploader/storage/credentials_http.h"

#include <openssl/evp.h>

#include <pugixml.hpp>
#include <utility>

#include "uploader/settings/json_tree.h"
#include "uploader/settings/url_parts.h"

namespace backstay {
namespace {

constexpr uint64_t kMostAnswer = 1 << 20;
constexpr char kMetadata[] = "http://169.254.169.254";
constexpr char kContainer[] = "http://169.254.170.2";
constexpr char kRole[] = "/latest/meta-data/iam/security-credentials/";

bool IsSuccess(const HttpResponse& response) {
  return response.status >= 200 && response.status < 300;
}

std::string WithoutLineEnd(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) {
    text.pop_back();
  }
  return text;
}

// Only its code: the rest of an answer may repeat what it was sent.
Status Refused(const std::string& what, const HttpResponse& response, const std::string& code) {
  const std::string text = what + ": HTTP status " + std::to_string(response.status) +
                           (code.empty() ? "" : ", " + code.substr(0, 80));
  if (response.status >= 500 || response.status == 429) return {Code::kUnavailable, text, true};
  return {Code::kDenied, text};
}

Result<std::string> ReadToken(const CredentialWorld& world, const std::string& path) {
  Result<std::string> token = world.read_file(path);
  if (!token.ok()) return token;
  return WithoutLineEnd(std::move(*token));
}

std::string StsEndpoint(const CredentialWorld& world, const std::string& region) {
  for (const char* name : {"AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL"}) {
    std::string url = world.Variable(name);
    while (url.ends_with('/')) url.pop_back();
    if (!url.empty()) return url;
  }
  return "https://sts." + region +
         (region.starts_with("cn-") ? ".amazonaws.com.cn" : ".amazonaws.com");
}

std::string ServerOf(const std::string& url) {
  const UrlParts parts(url);
  if (!parts.valid()) return "";
  const std::string port = parts.Part(CURLUPART_PORT, CURLU_NO_DEFAULT_PORT);
  return parts.Part(CURLUPART_HOST) + (port.empty() ? "" : ":" + port);
}

// The first element of this name, wherever a server puts it.
std::string Find(const pugi::xml_node& node, const char* name) {
  return node
      .find_node([name](const pugi::xml_node& each) { return std::string(each.name()) == name; })
      .child_value();
}

Result<ExpiringKeys> ParseSts(const HttpResponse& response, const std::string& what) {
  pugi::xml_document document;
  const bool xml =
      static_cast<bool>(document.load_buffer(response.body.data(), response.body.size()));
  if (!IsSuccess(response)) return Refused(what, response, xml ? Find(document, "Code") : "");
  ExpiringKeys out;
  out.keys = {Find(document, "AccessKeyId"), Find(document, "SecretAccessKey"),
              Find(document, "SessionToken")};
  out.expires_ms = ParseTimeMs(Find(document, "Expiration"));
  if (out.keys.access_key_id.empty() || out.keys.secret_access_key.empty()) {
    return Status(Code::kUnavailable, what + ": the answer holds no keys; is this STS?", true);
  }
  return out;
}

Result<ExpiringKeys> AskSts(const CredentialWorld& world, const RoleRequest& role,
                            sigv4::Pairs form, const sigv4::Credentials* keys) {
  form.emplace_back("Version", "2011-06-15");
  form.emplace_back("RoleArn", role.arn);
  form.emplace_back("RoleSessionName", role.session.empty() ? "backstay" : role.session);
  if (!role.external_id.empty()) form.emplace_back("ExternalId", role.external_id);
  const std::string body = sigv4::CanonicalQuery(form);
  const std::string endpoint = StsEndpoint(world, role.region);
  sigv4::Request signed_request{
      .method = "POST",
      .path = "/",
      .query = {},
      .headers = {{"content-type", "application/x-www-form-urlencoded; charset=utf-8"},
                  {"host", ServerOf(endpoint)}},
      .payload_hash = sigv4::Sha256Hex(AsBytes(body))};
  if (keys != nullptr) {
    sigv4::Sign(
        *keys,
        {.time = sigv4::FormatTime(world.clock->WallMs()), .region = role.region, .service = "sts"},
        &signed_request);
  }
  HttpRequest request{.method = "POST",
                      .url = endpoint + "/",
                      .headers = std::move(signed_request.headers),
                      .body = AsBytes(body),
                      .max_response = kMostAnswer};
  const std::string what = role.what + ", " + endpoint;
  Result<HttpResponse> response = world.send(request, Reach::kFar);
  if (!response.ok()) return response.status().Wrap(what);
  return ParseSts(*response, what);
}

std::string Sha1Hex(const std::string& text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned n = 0;
  if (EVP_Digest(text.data(), text.size(), hash, &n, EVP_sha1(), nullptr) != 1) return "";
  std::string out;
  for (unsigned i = 0; i < n; ++i) out += {kDigits[hash[i] >> 4], kDigits[hash[i] & 15]};
  return out;
}

Result<HttpResponse> GetNear(const CredentialWorld& world, const std::string& what,
                             HttpRequest request) {
  request.max_response = kMostAnswer;
  Result<HttpResponse> response = world.send(request, Reach::kNear);
  if (!response.ok()) return response.status().Wrap(what);
  if (!IsSuccess(*response)) return Refused(what, *response, "");
  return response;
}

bool IsLoopback(const std::string& host) {
  return host.starts_with("127.") && host.find_first_not_of("0123456789.") == std::string::npos;
}

// The SDKs' rule: over plain HTTP a token goes to this machine alone.
bool MayBeAsked(const std::string& url) {
  const UrlParts parts(url);
  if (!parts.valid()) return false;
  const std::string scheme = parts.Part(CURLUPART_SCHEME);
  if (scheme != "http") return scheme == "https";
  const std::string host = parts.Part(CURLUPART_HOST);
  return host == "localhost" || IsLoopback(host) || host == "[::1]" || host == "169.254.170.2" ||
         host == "169.254.170.23" || host == "[fd00:ec2::23]";
}

Result<ExpiringKeys> AskContainer(const CredentialWorld& world, const std::string& url) {
  const std::string what = "the container's credentials at " + ServerOf(url);
  if (!MayBeAsked(url)) {
    return Status(Code::kInvalid, what +
                                      ": AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or an "
                                      "address of this machine");
  }
  HttpRequest request{.method = "GET", .url = url, .headers = {}, .body = {}};
  std::string token = world.Variable("AWS_CONTAINER_AUTHORIZATION_TOKEN");
  if (const std::string file = world.Variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
      !file.empty()) {
    Result<std::string> read = ReadToken(world, file);
    if (!read.ok()) return read.status().Wrap(what);
    token = std::move(*read);
  }
  if (token.find_first_of("\r\n") != std::string::npos) {
    return Status(Code::kInvalid, what + ": there is a line end in the authorization token");
  }
  if (!token.empty()) request.headers.emplace_back("authorization", token);
  Result<HttpResponse> response = GetNear(world, what, std::move(request));
  if (!response.ok()) return response.status();
  return ParseKeysJson(response->body, what);
}

Result<ExpiringKeys> AskInstance(const CredentialWorld& world) {
  std::string at = world.Variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
  while (at.ends_with('/')) at.pop_back();
  if (at.empty()) at = kMetadata;
  const std::string what = "the role of the EC2 instance, " + at;
  Result<HttpResponse> token =
      GetNear(world, what,
              {.method = "PUT",
               .url = at + "/latest/api/token",
               .headers = {{"x-aws-ec2-metadata-token-ttl-seconds", "21600"}},
               .body = {}});
  if (!token.ok()) return token.status();
  const auto get = [&](const std::string& path) {
    return GetNear(world, what,
                   {.method = "GET",
                    .url = at + path,
                    .headers = {{"x-aws-ec2-metadata-token", WithoutLineEnd(token->body)}},
                    .body = {}});
  };
  Result<HttpResponse> role = get(kRole);
  if (!role.ok() && role.status().code() == Code::kDenied) {
    return Status(Code::kInvalid, what + ": no role is attached to the instance");
  }
  if (!role.ok()) return role.status();
  const std::string name = role->body.substr(0, role->body.find_first_of("\r\n"));
  Result<HttpResponse> keys = get(kRole + name);
  if (!keys.ok()) return keys.status();
  return ParseKeysJson(keys->body, what);
}

std::string Member(const JsonValue& object, const char* name) {
  const JsonValue* member = object.Member(name);
  return member != nullptr ? member->text : "";
}

Result<ExpiringKeys> ParseSso(const std::string& body, const std::string& what) {
  Result<JsonValue> parsed = ParseJson(body);
  const JsonValue* role = parsed.ok() ? parsed->Member("roleCredentials") : nullptr;
  if (role == nullptr) return Status(Code::kUnavailable, what + ": the answer holds no keys", true);
  ExpiringKeys out;
  out.keys = {Member(*role, "accessKeyId"), Member(*role, "secretAccessKey"),
              Member(*role, "sessionToken")};
  if (const JsonValue* at = role->Member("expiration")) {
    out.expires_ms = static_cast<int64_t>(at->number);
  }
  return out;
}

Result<ExpiringKeys> AskSso(const CredentialWorld& world, const SsoRequest& sso) {
  const std::string name = sso.session.empty() ? sso.start_url : sso.session;
  const std::string file = world.Variable("HOME") + "/.aws/sso/cache/" + Sha1Hex(name) + ".json";
  const Status login(Code::kDenied, sso.what + ": sign in anew with `aws sso login`");
  Result<std::string> text = world.read_file(file);
  if (!text.ok()) return login;
  Result<JsonValue> cached = ParseJson(*text);
  if (!cached.ok()) return login;
  const int64_t expires_ms = ParseTimeMs(Member(*cached, "expiresAt"));
  const std::string token = Member(*cached, "accessToken");
  if (token.empty() || expires_ms <= world.clock->WallMs()) return login;
  std::string endpoint = world.Variable("AWS_ENDPOINT_URL_SSO");
  if (endpoint.empty()) endpoint = "https://portal.sso." + sso.region + ".amazonaws.com";
  const std::string what = sso.what + ", " + endpoint;
  HttpRequest request{
      .method = "GET",
      .url = endpoint + "/federation/credentials?" +
             sigv4::CanonicalQuery({{"account_id", sso.account}, {"role_name", sso.role}}),
      .headers = {{"x-amz-sso_bearer_token", token}},
      .body = {},
      .max_response = kMostAnswer};
  Result<HttpResponse> response = world.send(request, Reach::kFar);
  if (!response.ok()) return response.status().Wrap(what);
  if (response->status == 401) return login;
  if (!IsSuccess(*response)) return Refused(what, *response, "");
  return ParseSso(response->body, what);
}

}  // namespace

std::optional<CredentialSource> WebIdentityOf(const CredentialWorld& world) {
  const std::string file = world.Variable("AWS_WEB_IDENTITY_TOKEN_FILE");
  const std::string arn = world.Variable("AWS_ROLE_ARN");
  if (file.empty() || arn.empty()) return std::nullopt;
  return WebIdentitySource(world,
                           {.arn = arn,
                            .session = world.Variable("AWS_ROLE_SESSION_NAME"),
                            .region = world.Region(),
                            .what = "web identity (AWS_WEB_IDENTITY_TOKEN_FILE)"},
                           file);
}

CredentialSource WebIdentitySource(const CredentialWorld& world, RoleRequest role,
                                   const std::string& token_file) {
  const std::string what = role.what;
  return {what, [&world, role = std::move(role), token_file]() -> Result<ExpiringKeys> {
            Result<std::string> token = ReadToken(world, token_file);
            if (!token.ok()) return token.status().Wrap(role.what);
            return AskSts(world, role,
                          {{"Action", "AssumeRoleWithWebIdentity"}, {"WebIdentityToken", *token}},
                          nullptr);
          }};
}

CredentialSource RoleSource(const CredentialWorld& world, RoleRequest role, CredentialSource base) {
  const std::string what = role.what;
  return {what, [&world, role = std::move(role), base = std::move(base)]() -> Result<ExpiringKeys> {
            Result<ExpiringKeys> keys = base.fetch();
            if (!keys.ok()) return keys.status().Wrap(role.what);
            return AskSts(world, role, {{"Action", "AssumeRole"}}, &keys->keys);
          }};
}

CredentialSource SsoSource(const CredentialWorld& world, SsoRequest sso) {
  const std::string what = sso.what;
  return {what, [&world, sso = std::move(sso)] { return AskSso(world, sso); }};
}

std::optional<CredentialSource> ContainerSource(const CredentialWorld& world) {
  const std::string path = world.Variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
  std::string url = path.empty() ? "" : kContainer + path;
  if (url.empty()) url = world.Variable("AWS_CONTAINER_CREDENTIALS_FULL_URI");
  if (url.empty()) return std::nullopt;
  return CredentialSource{"the container's credentials",
                          [&world, url] { return AskContainer(world, url); }};
}

CredentialSource InstanceSource(const CredentialWorld& world) {
  return {"the role of the EC2 instance", [&world] { return AskInstance(world); }};
}

}  // namespace backstay
