// AWS's shared files, ~/.aws/credentials and ~/.aws/config: what a profile of them says, and the
// source of keys that it stands for.
//
// Pure but for the world that is given; any thread. kNotFound: the files, or the profile, are not
// there; kInvalid names the profile and what is missing in it. No error holds a value of the files.

#ifndef BACKSTAY_UPLOADER_STORAGE_AWS_PROFILE_H_
#define BACKSTAY_UPLOADER_STORAGE_AWS_PROFILE_H_

#include <map>
#include <string>
#include <string_view>

#include "uploader/base/status.h"
#include "uploader/storage/credentials.h"

namespace backstay {

using AwsSection = std::map<std::string, std::string>;  // lower-case name to value
using AwsSections = std::map<std::string, AwsSection>;  // by what stands in the brackets

// Lines that mean nothing are left out, as the programs do that share the file.
AwsSections ParseAwsFile(std::string_view text);

// `world` must outlive the source.
Result<CredentialSource> ProfileSource(const CredentialWorld& world, const std::string& profile);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_AWS_PROFILE_H_
