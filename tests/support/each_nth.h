// EachNth(): how much of an exhaustive loop a test goes through where each step takes ten times as
// long.
//
// 1 (all), unless BACKSTAY_TEST_EACH_NTH says otherwise: tests/run.sh sets it for sanitizers and
// the emulator, which look for other faults than whether each byte is checked. Any thread; cannot
// fail.

#ifndef BACKSTAY_TESTS_SUPPORT_EACH_NTH_H_
#define BACKSTAY_TESTS_SUPPORT_EACH_NTH_H_

#include <algorithm>
#include <cstdlib>

namespace backstay {

inline unsigned EachNth() {
  const char* text = std::getenv("BACKSTAY_TEST_EACH_NTH");
  return text != nullptr ? static_cast<unsigned>(std::max(1, std::atoi(text))) : 1;
}

}  // namespace backstay

#endif  // BACKSTAY_TESTS_SUPPORT_EACH_NTH_H_
