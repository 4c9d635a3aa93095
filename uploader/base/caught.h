// Caught(): memory that runs out becomes a Status.
//
// Our own code throws nothing, but the language does when memory runs out. Whoever may not let that
// out (a thread's first function, the C interface) calls what it does in here. Any thread; nothing
// throws.

#ifndef BACKSTAY_UPLOADER_BASE_CAUGHT_H_
#define BACKSTAY_UPLOADER_BASE_CAUGHT_H_

#include <exception>
#include <new>

#include "uploader/base/status.h"

namespace backstay {

// To be called before memory may run out: the first exception of a thread needs a few bytes for the
// language's own state, and the dynamic linker ends the process when it cannot have them.
inline void ReadyToThrow() noexcept {
  // The compiler leaves out a call of this function whose result is not used.
  [[maybe_unused]] const volatile int asked = std::uncaught_exceptions();
}

// What `body` returns; kUnavailable when it throws. The message is short enough to need no memory.
template <typename Body>
Status Caught(Body body) noexcept {
  ReadyToThrow();
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return {Code::kUnavailable, "out of memory", true};
  } catch (const std::exception&) {
    return {Code::kUnavailable, "internal error", true};
  }
}

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_BASE_CAUGHT_H_
