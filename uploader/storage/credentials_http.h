// The servers that give keys: STS, a container's endpoint, the metadata of an EC2 instance, and
// Amazon's single sign-on.
//
// Called by the chain (credentials, aws_profile); any thread, no state. Making a source asks
// nobody; its fetch() blocks as long as the world's send() does. Errors name the source and its
// answer's code, never a body, a token or a key. kUnavailable: it may pass; kDenied: it was
// refused.

#ifndef BACKSTAY_UPLOADER_STORAGE_CREDENTIALS_HTTP_H_
#define BACKSTAY_UPLOADER_STORAGE_CREDENTIALS_HTTP_H_

#include <optional>
#include <string>

#include "uploader/storage/credentials.h"

namespace backstay {

struct RoleRequest {
  std::string arn;
  std::string session = {};
  std::string external_id = {};
  std::string region = {};
  std::string what = {};  // for people
};

struct SsoRequest {
  std::string account;
  std::string role;
  std::string session;    // or
  std::string start_url;  // this
  std::string region;
  std::string what;  // for people
};

// `world` must outlive each of them.

// nullopt: the environment names none.
std::optional<CredentialSource> WebIdentityOf(const CredentialWorld& world);
CredentialSource WebIdentitySource(const CredentialWorld& world, RoleRequest role,
                                   const std::string& token_file);
CredentialSource RoleSource(const CredentialWorld& world, RoleRequest role, CredentialSource base);
CredentialSource SsoSource(const CredentialWorld& world, SsoRequest sso);
// nullopt: the environment names none.
std::optional<CredentialSource> ContainerSource(const CredentialWorld& world);
CredentialSource InstanceSource(const CredentialWorld& world);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_CREDENTIALS_HTTP_H_
