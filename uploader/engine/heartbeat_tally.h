// HeartbeatTally: what became of the heartbeats of this process, for status and metrics.
//
// Owned by Engine; written by the beating thread, read by any.

#ifndef BACKSTAY_UPLOADER_ENGINE_HEARTBEAT_TALLY_H_
#define BACKSTAY_UPLOADER_ENGINE_HEARTBEAT_TALLY_H_

#include <atomic>
#include <cstdint>

namespace backstay {

struct HeartbeatTally {
  std::atomic<int64_t> good_ms{0};    // wall clock: the monitor last took a good one; 0: never
  std::atomic<uint64_t> failures{0};  // told failure, or were not taken
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_HEARTBEAT_TALLY_H_
