// A clock that a test moves on: it begins at 2013-05-24T00:00:00Z.
//
// Owned by the test, which alone changes it; no test reads it on another thread meanwhile.

#ifndef BACKSTAY_TESTS_UNIT_STEPPED_CLOCK_H_
#define BACKSTAY_TESTS_UNIT_STEPPED_CLOCK_H_

#include <cstdint>

#include "uploader/base/clock.h"

namespace backstay {

class SteppedClock : public Clock {
 public:
  int64_t WallMs() override { return 1369353600000 + at_ms; }
  int64_t MonotonicMs() override { return at_ms; }
  int64_t at_ms = 0;
};

}  // namespace backstay

#endif  // BACKSTAY_TESTS_UNIT_STEPPED_CLOCK_H_
