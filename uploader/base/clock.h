// Time as a dependency: real in the product, stepped by hand in tests.
//
// Any thread. Waiting is done by the owner of the wait (condition variables), not here.

#ifndef BACKSTAY_UPLOADER_BASE_CLOCK_H_
#define BACKSTAY_UPLOADER_BASE_CLOCK_H_

#include <cstdint>
#include <string>

namespace backstay {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t WallMs() = 0;       // ms since 1970-01-01 UTC
  virtual int64_t MonotonicMs() = 0;  // ms, never goes back
};

Clock* RealClock();

// "2026-11-22T20:59:01.234Z"
std::string FormatRfc3339(int64_t wall_ms);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_BASE_CLOCK_H_
