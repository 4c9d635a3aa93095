#include "uploader/storage/shared_credentials.h"

#include <tuple>
#include <utility>

namespace backstay {
namespace {

constexpr int64_t kAheadMs = 5 * 60 * 1000;
constexpr int64_t kRetryMs = 30 * 1000;
// A clock that runs ahead must not make each request ask for new keys.
constexpr int64_t kLeastLifeMs = 60 * 1000;
constexpr int64_t kLeastBetweenMs = 10 * 1000;

sigv4::Credentials From(const ReplicaSettings& replica) {
  return {replica.access_key_id, replica.secret_access_key, replica.session_token};
}

auto Parts(const sigv4::Credentials& credentials) {
  return std::tie(credentials.access_key_id, credentials.secret_access_key,
                  credentials.session_token);
}

bool HasKeys(const ReplicaSettings& replica) {
  return !replica.access_key_id.empty() && !replica.secret_access_key.empty();
}

// A half is a mistake: what the chain would find in its place is something else than was meant.
Status CheckHalf(const ReplicaSettings& replica) {
  const bool id = !replica.access_key_id.empty();
  const bool secret = !replica.secret_access_key.empty();
  if (id != secret) {
    return {Code::kInvalid, id ? "set secret-access-key (AWS_SECRET_ACCESS_KEY), too"
                               : "set access-key-id (AWS_ACCESS_KEY_ID), too"};
  }
  if (id || replica.half_pair.empty()) return Status::Ok();
  return {Code::kInvalid, replica.half_pair + "; set both"};
}

bool SameSource(const ReplicaSettings& a, const ReplicaSettings& b) {
  if (HasKeys(a) || HasKeys(b) || a.profile != b.profile) return false;
  if (a.environment == nullptr || b.environment == nullptr) return a.environment == b.environment;
  return *a.environment == *b.environment;
}

// An error of the source, which must not look like one of the object that was asked for.
Status OfCredentials(const Status& error) {
  const bool own = error.code() == Code::kUnavailable || error.code() == Code::kDenied ||
                   error.code() == Code::kCancelled;
  const char* const none =
      error.code() == Code::kNotFound ? "no credentials: there is no" : "no credentials";
  return Status(own ? error.code() : Code::kInvalid, error.message(), error.retryable()).Wrap(none);
}

}  // namespace

Result<std::string> SharedCredentials::NameOf(const ReplicaSettings& replica) {
  BACKSTAY_TRY(CheckHalf(replica).Wrap("no credentials"));
  if (HasKeys(replica)) return std::string("access key ") + replica.access_key_id;
  CredentialCalls calls(replica.ca_file);
  const CredentialWorld world = WorldOf(replica, RealClock(), &calls);
  Result<CredentialSource> source = FindCredentials(world);
  if (source.ok()) return source->name;
  return OfCredentials(source.status());
}

Status SharedCredentials::Check(const ReplicaSettings& replica) { return NameOf(replica).status(); }

SharedCredentials::SharedCredentials(const ReplicaSettings& replica, Clock* clock,
                                     std::shared_ptr<const CredentialWorld> world)
    : clock_(clock),
      given_world_(std::move(world)),
      calls_(std::make_unique<CredentialCalls>(replica.ca_file)),
      replica_(replica),
      fixed_(HasKeys(replica)),
      known_{From(replica), 0} {}

SharedCredentials::Need SharedCredentials::NeedLocked() const {
  if (fixed_) return Need::kNone;
  if (known_.keys.access_key_id.empty()) return Need::kNow;
  if (known_.expires_ms == 0) return Need::kNone;
  const int64_t now = clock_->MonotonicMs();
  const int64_t left = known_.expires_ms - clock_->WallMs();
  if (left > kAheadMs || now - fetched_ms_ < kLeastLifeMs) return Need::kNone;
  if (left <= 0) return Need::kNow;
  return now < retry_ms_ ? Need::kNone : Need::kSoon;
}

Result<sigv4::Credentials> SharedCredentials::Get() {
  Need need;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    need = NeedLocked();
    if (need == Need::kNone) return known_.keys;
  }
  std::unique_lock<std::mutex> fetching(fetching_, std::defer_lock);
  if (need == Need::kNow) {
    fetching.lock();
  } else if (!fetching.try_lock()) {
    std::lock_guard<std::mutex> lock(mutex_);
    return known_.keys;
  }
  {
    std::lock_guard<std::mutex> lock(mutex_);
    need = NeedLocked();  // another thread may have fetched them meanwhile
    if (need == Need::kNone) return known_.keys;
  }
  Status fetched = Fetch();
  std::lock_guard<std::mutex> lock(mutex_);
  if (fetched.ok()) return known_.keys;
  if (need == Need::kNow) return OfCredentials(fetched);
  retry_ms_ = clock_->MonotonicMs() + kRetryMs;
  return known_.keys;
}

CredentialWorld SharedCredentials::World() const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (given_world_ != nullptr) return *given_world_;
  return WorldOf(replica_, clock_, calls_.get());
}

// REQUIRES: fetching_ is held.
Status SharedCredentials::Fetch() {
  const CredentialWorld world = World();
  Result<CredentialSource> source = FindCredentials(world);
  if (!source.ok()) return source.status();
  Result<ExpiringKeys> keys = source->fetch();
  if (!keys.ok()) return keys.status();
  std::lock_guard<std::mutex> lock(mutex_);
  if (fixed_) return Status::Ok();  // Set() has come before
  known_ = std::move(*keys);
  fetched_ms_ = clock_->MonotonicMs();
  return Status::Ok();
}

bool SharedCredentials::Renew() {
  sigv4::Credentials refused;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (fixed_ || clock_->MonotonicMs() - fetched_ms_ < kLeastBetweenMs) return false;
    refused = known_.keys;
  }
  std::lock_guard<std::mutex> fetching(fetching_);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (Parts(known_.keys) != Parts(refused)) return true;
    fetched_ms_ = clock_->MonotonicMs();
  }
  if (!Fetch().ok()) return false;
  std::lock_guard<std::mutex> lock(mutex_);
  return Parts(known_.keys) != Parts(refused);
}

Result<bool> SharedCredentials::Set(const ReplicaSettings& replica) {
  BACKSTAY_TRY(Check(replica));
  std::lock_guard<std::mutex> lock(mutex_);
  sigv4::Credentials fresh = From(replica);
  const bool same = SameSource(replica, replica_) ||
                    (fixed_ && HasKeys(replica) && Parts(fresh) == Parts(known_.keys));
  replica_ = replica;
  if (same) return false;
  fixed_ = HasKeys(replica);
  known_ = {std::move(fresh), 0};
  return true;
}

std::vector<std::string> SharedCredentials::Secrets() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return {known_.keys.secret_access_key, known_.keys.session_token};
}

int64_t SharedCredentials::expires_ms() const {
  std::lock_guard<std::mutex> lock(mutex_);
  return known_.expires_ms;
}

}  // namespace backstay
