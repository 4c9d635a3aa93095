// Crowd: large transactions without a WAL that follow each other so fast that no moment is found in
// which what they changed could be read.
//
// Owned by the CaptureLoop, used on its thread. Says so once it has lasted, at WARN and at a
// bounded rate, and when it is over. Cannot fail.

#ifndef BACKSTAY_UPLOADER_ENGINE_CROWD_H_
#define BACKSTAY_UPLOADER_ENGINE_CROWD_H_

#include <cstdint>
#include <optional>

#include "uploader/base/clock.h"
#include "uploader/base/log.h"
#include "uploader/engine/core.h"

namespace backstay {

class Crowd {
 public:
  explicit Crowd(const CoreOptions& options)
      : options_(options), problem_(options.logger, options.clock, Level::kWarn) {}

  // One more try was in vain.
  void Tried() {
    const int64_t now = options_.clock->MonotonicMs();
    if (!since_ms_) since_ms_ = now;
    if (now - *since_ms_ < kPatienceMs) return;
    problem_.Failed(
        "the replica stays behind: large transactions follow each other so fast that what they "
        "changed cannot be read between them; remedy: PRAGMA journal_mode=WAL, smaller "
        "transactions, or a pause between them",
        {{"db", options_.settings.path}, {"replica", options_.replica}});
  }
  void Over() {
    since_ms_.reset();
    problem_.Recovered("what large transactions changed was read",
                       {{"db", options_.settings.path}, {"replica", options_.replica}});
  }

 private:
  static constexpr int64_t kPatienceMs = 10000;

  const CoreOptions& options_;
  LastingProblem problem_;
  std::optional<int64_t> since_ms_;  // monotonic, of the first try in vain
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_CROWD_H_
