#include "uploader/storage/shared_credentials.h"

#include <string>
#include <tuple>
#include <utility>

namespace backstay {
namespace {

sigv4::Credentials From(const ReplicaSettings& replica) {
  return {replica.access_key_id, replica.secret_access_key, replica.session_token};
}

auto Parts(const sigv4::Credentials& credentials) {
  return std::tie(credentials.access_key_id, credentials.secret_access_key,
                  credentials.session_token);
}

}  // namespace

Status SharedCredentials::Check(const ReplicaSettings& replica) {
  const bool id = !replica.access_key_id.empty();
  const bool secret = !replica.secret_access_key.empty();
  if (id && secret) return Status::Ok();
  const std::string none = "no credentials: ";
  if (id != secret) {
    return {Code::kInvalid, none + (id ? "set secret-access-key (AWS_SECRET_ACCESS_KEY), too"
                                       : "set access-key-id (AWS_ACCESS_KEY_ID), too")};
  }
  if (!replica.half_pair.empty()) return {Code::kInvalid, none + replica.half_pair + "; set both"};
  return {Code::kInvalid, none +
                              "set access-key-id (AWS_ACCESS_KEY_ID) and secret-access-key "
                              "(AWS_SECRET_ACCESS_KEY)"};
}

SharedCredentials::SharedCredentials(const ReplicaSettings& replica)
    : credentials_(From(replica)) {}

Result<bool> SharedCredentials::Set(const ReplicaSettings& replica) {
  BACKSTAY_TRY(Check(replica));
  sigv4::Credentials fresh = From(replica);
  std::lock_guard<std::mutex> lock(mutex_);
  if (Parts(fresh) == Parts(credentials_)) return false;
  credentials_ = std::move(fresh);
  return true;
}

}  // namespace backstay
