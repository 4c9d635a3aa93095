// SharedCredentials: what requests are signed with: the keys of the settings, or those that the
// chain (credentials.h) finds, kept until 5 minutes before they expire.
//
// Owned by a client; any thread. Get() may fetch keys: it blocks like a request then, on the thread
// of the call that needs them; of several threads one fetches, and while the old keys still hold
// the others go on with them. Errors hold no secret; kInvalid: there are no keys, or a part of them
// is missing; kUnavailable and kDenied: their source does not give them.

#ifndef BACKSTAY_UPLOADER_STORAGE_SHARED_CREDENTIALS_H_
#define BACKSTAY_UPLOADER_STORAGE_SHARED_CREDENTIALS_H_

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "uploader/base/clock.h"
#include "uploader/base/status.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/credential_world.h"
#include "uploader/storage/credentials.h"
#include "uploader/storage/s3_error.h"
#include "uploader/storage/sigv4.h"

namespace backstay {

class SharedCredentials {
 public:
  // kInvalid: there are none, or half of them; names what to set. Asks nobody.
  static Status Check(const ReplicaSettings& replica);
  // For people, where the keys come from; as Check() fails.
  static Result<std::string> NameOf(const ReplicaSettings& replica);

  // `world`: in place of this process's own, for tests.
  SharedCredentials(const ReplicaSettings& replica, Clock* clock,
                    std::shared_ptr<const CredentialWorld> world = nullptr);

  Result<sigv4::Credentials> Get();
  // Keys were refused as expired or unknown: true if there are others now. Asks at most every few
  // seconds.
  bool Renew();
  // The same, where it is for its keys that a request was refused.
  bool Replaces(const HttpResponse& refusal) { return IsStaleKey(refusal) && Renew(); }
  // True: they are others than before. Fails like Check(), and keeps what it had.
  Result<bool> Set(const ReplicaSettings& replica);
  // What no message may hold.
  std::vector<std::string> Secrets() const;
  // Of what was fetched, as a wall clock time; 0: never, or nothing was.
  int64_t expires_ms() const;
  void Cancel() { calls_->Cancel(); }

 private:
  enum class Need { kNone, kSoon, kNow };

  Need NeedLocked() const;
  Status Fetch();
  CredentialWorld World() const;

  Clock* const clock_;
  const std::shared_ptr<const CredentialWorld> given_world_;
  const std::unique_ptr<CredentialCalls> calls_;
  std::mutex fetching_;       // taken before mutex_
  mutable std::mutex mutex_;  // this guards what follows
  ReplicaSettings replica_;
  bool fixed_ = false;  // the settings hold the keys
  ExpiringKeys known_;
  int64_t fetched_ms_ = 0;  // monotonic
  int64_t retry_ms_ = 0;    // monotonic: not before, while the old ones hold
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_SHARED_CREDENTIALS_H_
