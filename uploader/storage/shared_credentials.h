// SharedCredentials: what requests are signed with, replaced while others are under way.
//
// Owned by a client; any thread. Fails where a part of them is missing.

#ifndef BACKSTAY_UPLOADER_STORAGE_SHARED_CREDENTIALS_H_
#define BACKSTAY_UPLOADER_STORAGE_SHARED_CREDENTIALS_H_

#include <mutex>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/sigv4.h"

namespace backstay {

class SharedCredentials {
 public:
  // kInvalid: there are none, or half of them; names what to set.
  static Status Check(const ReplicaSettings& replica);

  explicit SharedCredentials(const ReplicaSettings& replica);

  sigv4::Credentials Get() const {
    std::lock_guard<std::mutex> lock(mutex_);
    return credentials_;
  }
  // True: they are others than before. Fails like Check(), and keeps what it had.
  Result<bool> Set(const ReplicaSettings& replica);

 private:
  mutable std::mutex mutex_;
  sigv4::Credentials credentials_;  // guarded by mutex_
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_SHARED_CREDENTIALS_H_
