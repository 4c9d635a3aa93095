#include "uploader/storage/aws_profile.h"

#include <algorithm>
#include <utility>

#include "uploader/storage/credentials_http.h"

namespace backstay {
namespace {

constexpr int kMostRoles = 8;  // one after the other

std::string_view Trim(std::string_view s) {
  const size_t first = s.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return s.substr(first, s.find_last_not_of(" \t\r") - first + 1);
}

std::string LowerCase(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string FileAt(const CredentialWorld& world, const char* variable, const char* standard) {
  if (std::string path = world.Variable(variable); !path.empty()) return path;
  const std::string home = world.Variable("HOME");
  return home.empty() ? "" : home + standard;
}

// The two files, read.
struct SharedFiles {
  AwsSections credentials;
  AwsSections config;
  std::string names;  // for people

  // Of the profile; what the credentials file says counts before the other's.
  AwsSection Profile(const std::string& name) const {
    AwsSection out;
    const auto add = [&out](const AwsSections& file, const std::string& section) {
      if (const auto at = file.find(section); at != file.end()) {
        for (const auto& [key, value] : at->second) out.try_emplace(key, value);
      }
    };
    add(credentials, name);
    add(config, "profile " + name);
    if (name == "default") add(config, name);
    return out;
  }
};

Status ReadOne(const CredentialWorld& world, const std::string& path, SharedFiles* files,
               AwsSections* out) {
  if (path.empty()) return Status::Ok();
  Result<std::string> text = world.read_file(path);
  const bool missing = text.status().code() == Code::kNotFound;
  if (!text.ok() && !missing) return {Code::kInvalid, text.status().message()};
  files->names += (files->names.empty() ? "" : " or ") + path;
  if (text.ok()) *out = ParseAwsFile(*text);
  return Status::Ok();
}

Result<SharedFiles> ReadSharedFiles(const CredentialWorld& world) {
  SharedFiles files;
  BACKSTAY_TRY(ReadOne(world, FileAt(world, "AWS_SHARED_CREDENTIALS_FILE", "/.aws/credentials"),
                       &files, &files.credentials));
  BACKSTAY_TRY(
      ReadOne(world, FileAt(world, "AWS_CONFIG_FILE", "/.aws/config"), &files, &files.config));
  if (files.names.empty()) files.names = "~/.aws/credentials (HOME is not set)";
  return files;
}

// Follows one profile to where its keys come from.
class Resolver {
 public:
  Resolver(const CredentialWorld& world, SharedFiles files)
      : world_(world), files_(std::move(files)) {}

  Result<CredentialSource> Resolve(const std::string& name, int depth) const {
    const std::string what = "profile `" + name + "`";
    const AwsSection profile = files_.Profile(name);
    if (profile.empty()) return Status(Code::kNotFound, what + " in " + files_.names);
    if (depth > kMostRoles) {
      return Status(Code::kInvalid, what + ": source_profile leads in a circle");
    }
    const bool role = !Value(profile, "role_arn").empty();
    // A profile that is its own source has its keys beside the role.
    if (role && !(depth > 0 && HasKeys(profile))) return Role(name, what, profile, depth);
    if (HasKeys(profile) || !Value(profile, "aws_access_key_id").empty() ||
        !Value(profile, "aws_secret_access_key").empty()) {
      return Written(what, profile);
    }
    if (!Value(profile, "sso_account_id").empty()) return Sso(what, profile);
    if (const std::string command = Value(profile, "credential_process"); !command.empty()) {
      return Process(what, command);
    }
    return Status(Code::kNotFound, what + " with keys in it in " + files_.names);
  }

 private:
  static std::string Value(const AwsSection& section, const char* name) {
    const auto at = section.find(name);
    return at == section.end() ? "" : at->second;
  }
  static bool HasKeys(const AwsSection& section) {
    return !Value(section, "aws_access_key_id").empty() &&
           !Value(section, "aws_secret_access_key").empty();
  }

  Result<CredentialSource> Written(const std::string& what, const AwsSection& profile) const {
    for (const auto& [here, there] : {std::pair("aws_access_key_id", "aws_secret_access_key"),
                                      std::pair("aws_secret_access_key", "aws_access_key_id")}) {
      if (!Value(profile, here).empty()) continue;
      return Status(Code::kInvalid, what + " has " + there + " without " + here + "; write both");
    }
    ExpiringKeys keys;
    keys.keys = {Value(profile, "aws_access_key_id"), Value(profile, "aws_secret_access_key"),
                 Value(profile, "aws_session_token")};
    return CredentialSource{what, [keys]() -> Result<ExpiringKeys> { return keys; }};
  }

  Result<CredentialSource> Role(const std::string& name, const std::string& what,
                                const AwsSection& profile, int depth) const {
    RoleRequest role{.arn = Value(profile, "role_arn"),
                     .session = Value(profile, "role_session_name"),
                     .external_id = Value(profile, "external_id"),
                     .region = Value(profile, "region"),
                     .what = what};
    if (role.region.empty()) role.region = world_.Region();
    if (!Value(profile, "mfa_serial").empty()) {
      return Status(Code::kInvalid, what + " asks for a code (mfa_serial), which nobody can enter");
    }
    const std::string token = Value(profile, "web_identity_token_file");
    if (!token.empty()) return WebIdentitySource(world_, std::move(role), token);
    const std::string source = Value(profile, "source_profile");
    const std::string given = Value(profile, "credential_source");
    if (!source.empty() && source == name && !HasKeys(profile)) {
      return Status(Code::kInvalid, what + ": source_profile leads in a circle");
    }
    Result<CredentialSource> base =
        !source.empty() ? Resolve(source, depth + 1) : Given(what, given);
    if (!base.ok()) {
      return Status(Code::kInvalid,
                    what + " has role_arn; its source is missing: " + base.status().message());
    }
    return RoleSource(world_, std::move(role), std::move(*base));
  }

  Result<CredentialSource> Given(const std::string& what, const std::string& given) const {
    if (given == "Ec2InstanceMetadata") return InstanceSource(world_);
    if (given == "EcsContainer") {
      if (std::optional<CredentialSource> source = ContainerSource(world_)) return *source;
      return Status(Code::kInvalid, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set");
    }
    if (given == "Environment") {
      ExpiringKeys keys;
      keys.keys = {world_.Variable("AWS_ACCESS_KEY_ID"), world_.Variable("AWS_SECRET_ACCESS_KEY"),
                   world_.Variable("AWS_SESSION_TOKEN")};
      if (keys.keys.access_key_id.empty() || keys.keys.secret_access_key.empty()) {
        return Status(Code::kInvalid, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set");
      }
      return CredentialSource{what, [keys]() -> Result<ExpiringKeys> { return keys; }};
    }
    return Status(Code::kInvalid,
                  "write source_profile, or credential_source (Environment, EcsContainer, "
                  "Ec2InstanceMetadata)");
  }

  Result<CredentialSource> Sso(const std::string& what, const AwsSection& profile) const {
    SsoRequest sso{.account = Value(profile, "sso_account_id"),
                   .role = Value(profile, "sso_role_name"),
                   .session = Value(profile, "sso_session"),
                   .start_url = Value(profile, "sso_start_url"),
                   .region = Value(profile, "sso_region"),
                   .what = what};
    if (const auto at = files_.config.find("sso-session " + sso.session);
        at != files_.config.end()) {
      sso.region = Value(at->second, "sso_region");
    }
    for (const auto& [value, name] :
         {std::pair(sso.role, "sso_role_name"), std::pair(sso.region, "sso_region"),
          std::pair(sso.session + sso.start_url, "sso_session")}) {
      if (value.empty())
        return Status(Code::kInvalid, what + " has sso_account_id without " + name);
    }
    return SsoSource(world_, std::move(sso));
  }

  Result<CredentialSource> Process(const std::string& what, const std::string& command) const {
    const CredentialWorld* world = &world_;
    return CredentialSource{what, [world, what, command]() -> Result<ExpiringKeys> {
                              Result<std::string> said = world->run(command);
                              const std::string place = what + ", credential_process";
                              if (!said.ok()) return said.status().Wrap(place);
                              return ParseKeysJson(*said, place);
                            }};
  }

  const CredentialWorld& world_;
  const SharedFiles files_;
};

}  // namespace

AwsSections ParseAwsFile(std::string_view text) {
  AwsSections out;
  AwsSection* section = nullptr;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view raw = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    const std::string_view line = Trim(raw);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      const std::string_view inside = line.substr(1, line.find(']') - 1);
      // "[profile  x]" with any white space.
      const size_t gap = std::min(inside.find_first_of(" \t"), inside.size());
      std::string name(Trim(inside.substr(0, gap)));
      const std::string_view rest = Trim(inside.substr(gap));
      if (!name.empty() && !rest.empty()) name += ' ';
      section = &out[name.append(rest)];
      continue;
    }
    // What is indented belongs to the line above, which is a map of another service.
    const bool nested = raw[0] == ' ' || raw[0] == '\t';
    const size_t equals = line.find('=');
    if (section == nullptr || nested || equals == std::string_view::npos) continue;
    const std::string name = LowerCase(Trim(line.substr(0, equals)));
    std::string_view value = line.substr(equals + 1);
    if (name != "credential_process") value = value.substr(0, value.find(" #"));
    section->insert_or_assign(name, std::string(Trim(value)));
  }
  return out;
}

Result<CredentialSource> ProfileSource(const CredentialWorld& world, const std::string& profile) {
  Result<SharedFiles> files = ReadSharedFiles(world);
  if (!files.ok()) return files.status();
  return Resolver(world, std::move(*files)).Resolve(profile, 0);
}

}  // namespace backstay
