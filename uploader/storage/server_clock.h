// ServerClock: the time that requests are signed with: this machine's, put right by the server's
// where that refuses it.
//
// Owned by S3ReplicaClient; any thread. A server's Date is believed only after it has refused a
// request for its time, and until it refuses the next. Told once when it begins and once when this
// machine's clock is right again; without memory for a text nothing is said.

#ifndef BACKSTAY_UPLOADER_STORAGE_SERVER_CLOCK_H_
#define BACKSTAY_UPLOADER_STORAGE_SERVER_CLOCK_H_

#include <atomic>
#include <cstdint>
#include <utility>

#include "uploader/base/clock.h"
#include "uploader/storage/http.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

class ServerClock {
 public:
  ServerClock(Clock* clock, SilenceWords words) : clock_(clock), words_(std::move(words)) {}

  int64_t WallMs() const { return clock_->WallMs() + ahead_ms_; }
  // True: the request was refused for its time, and the time is another one now: sent again it may
  // be accepted.
  bool Corrects(const HttpResponse& response);

 private:
  void Say(int64_t ahead_ms) const;

  Clock* const clock_;
  const SilenceWords words_;
  std::atomic<int64_t> ahead_ms_{0};  // the server's clock, of this machine's
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_SERVER_CLOCK_H_
