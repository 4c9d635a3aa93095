#include "uploader/storage/credentials.h"

#include <ctime>
#include <utility>

#include "uploader/settings/json_tree.h"
#include "uploader/storage/aws_profile.h"
#include "uploader/storage/credentials_http.h"

namespace backstay {
namespace {

std::string Text(const JsonValue& object, const char* name) {
  const JsonValue* member = object.Member(name);
  return member != nullptr && member->Is(JsonValue::Kind::kString) ? member->text : "";
}

std::string StartOf(const CredentialWorld& world, const char* path) {
  Result<std::string> text = world.read_file(path);
  return text.ok() ? *text : "";
}

// An address that nobody has is waited for: it is asked only where there is reason to.
bool IsOnEc2(const CredentialWorld& world) {
  if (!world.Variable("AWS_EC2_METADATA_SERVICE_ENDPOINT").empty()) return true;
  return StartOf(world, "/sys/class/dmi/id/sys_vendor").starts_with("Amazon EC2") ||
         StartOf(world, "/sys/class/dmi/id/bios_version").find("amazon") != std::string::npos ||
         StartOf(world, "/sys/hypervisor/uuid").starts_with("ec2");
}

}  // namespace

std::string CredentialWorld::Variable(const char* name) const { return getenv(name).value_or(""); }

std::string CredentialWorld::Region() const {
  for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION"}) {
    if (std::string region = Variable(name); !region.empty()) return region;
  }
  return "us-east-1";
}

int64_t ParseTimeMs(const std::string& text) {
  tm parts{};
  if (strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &parts) == nullptr) return 0;
  return static_cast<int64_t>(timegm(&parts)) * 1000;
}

Result<ExpiringKeys> ParseKeysJson(const std::string& json, const std::string& what) {
  Result<JsonValue> parsed = ParseJson(json);
  // The parser quotes what it does not understand, and that may be a key.
  if (!parsed.ok() || !parsed->Is(JsonValue::Kind::kObject)) {
    return Status(Code::kUnavailable, what + ": the answer is no JSON object", true);
  }
  ExpiringKeys out;
  out.keys.access_key_id = Text(*parsed, "AccessKeyId");
  out.keys.secret_access_key = Text(*parsed, "SecretAccessKey");
  out.keys.session_token = Text(*parsed, "Token");
  if (out.keys.session_token.empty()) out.keys.session_token = Text(*parsed, "SessionToken");
  out.expires_ms = ParseTimeMs(Text(*parsed, "Expiration"));
  if (out.keys.access_key_id.empty() || out.keys.secret_access_key.empty()) {
    const bool id = !out.keys.access_key_id.empty();
    return Status(Code::kUnavailable,
                  what + ": the answer holds no " + (id ? "SecretAccessKey" : "AccessKeyId"), true);
  }
  return out;
}

Result<CredentialSource> FindCredentials(const CredentialWorld& world) {
  // What a person has named counts before what a machine was given.
  if (!world.profile.empty()) return ProfileSource(world, world.profile);
  if (std::optional<CredentialSource> source = WebIdentityOf(world)) return *source;
  const std::string chosen = world.Variable("AWS_PROFILE");
  Result<CredentialSource> profile =
      ProfileSource(world, chosen.empty() ? std::string("default") : chosen);
  const bool missing = profile.status().code() == Code::kNotFound;
  if (profile.ok() || !chosen.empty() || !missing) return profile;
  if (std::optional<CredentialSource> source = ContainerSource(world)) return *source;
  std::string instance = "the role of an EC2 instance (switched off by AWS_EC2_METADATA_DISABLED)";
  if (world.Variable("AWS_EC2_METADATA_DISABLED") != "true") {
    if (IsOnEc2(world)) return InstanceSource(world);
    instance = "the role of an EC2 instance (this machine is none)";
  }
  return Status(Code::kInvalid,
                "set access-key-id (AWS_ACCESS_KEY_ID) and secret-access-key "
                "(AWS_SECRET_ACCESS_KEY); nor is there AWS_WEB_IDENTITY_TOKEN_FILE with "
                "AWS_ROLE_ARN, " +
                    profile.status().message() +
                    ", AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI, " + instance);
}

}  // namespace backstay
