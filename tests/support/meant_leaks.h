// What a test leaks because the code that it tests does so on purpose: the leak sanitizer leaves it
// out.
//
// One thread: what it allocates while a MeantLeaks lives. Nothing without the sanitizer.

#ifndef BACKSTAY_TESTS_SUPPORT_MEANT_LEAKS_H_
#define BACKSTAY_TESTS_SUPPORT_MEANT_LEAKS_H_

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

namespace backstay {

class MeantLeaks {
 public:
#ifdef __SANITIZE_ADDRESS__
  MeantLeaks() { __lsan_disable(); }
  ~MeantLeaks() { __lsan_enable(); }
#else
  MeantLeaks() {}
  ~MeantLeaks() {}
#endif
  MeantLeaks(const MeantLeaks&) = delete;
  MeantLeaks& operator=(const MeantLeaks&) = delete;
};

}  // namespace backstay

#endif  // BACKSTAY_TESTS_SUPPORT_MEANT_LEAKS_H_
