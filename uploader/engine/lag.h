// Lag: since when something that was committed waits for the replica.
//
// Owned by Core, guarded by its mutex. Times are of the wall clock, in ms. Knows nothing of files:
// who finds out that something waits says so, and Settle() is called when all else is in order.

#ifndef BACKSTAY_UPLOADER_ENGINE_LAG_H_
#define BACKSTAY_UPLOADER_ENGINE_LAG_H_

#include <cstdint>

namespace backstay {

class Lag {
 public:
  // What was committed at `ms` waits, perhaps in no segment yet; 0: nothing was.
  void Waits(int64_t ms) {
    if (since_ms_ == 0 || (ms != 0 && ms < since_ms_)) since_ms_ = ms;
  }
  // All that waits is in segments by now, the last of which has this number: until it is shipped
  // their own times, those of a comparison, say nothing.
  void WaitsFor(uint64_t segment) { until_segment_ = since_ms_ == 0 ? 0 : segment; }
  // Everything is in segments and was before: shipped, up to `segment`, or waiting since
  // `oldest_ms` (0: none waits).
  void Settle(uint64_t segment, int64_t oldest_ms) {
    if (oldest_ms == 0) until_segment_ = 0;
    if (segment < until_segment_) return;
    until_segment_ = 0;
    since_ms_ = oldest_ms;
  }
  // 0: nothing waits, as far as known.
  int64_t since_ms() const { return since_ms_; }

 private:
  int64_t since_ms_ = 0;
  uint64_t until_segment_ = 0;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_LAG_H_
