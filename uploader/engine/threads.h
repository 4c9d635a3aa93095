// Threads of ours inside a host: all signals blocked, a name for debuggers.
//
// Any thread may start one. Returns false when the system has no more threads; nothing throws. Our
// own code throws nothing, but the language does when memory runs out: Caught() makes a Status of
// it.

#ifndef BACKSTAY_UPLOADER_ENGINE_THREADS_H_
#define BACKSTAY_UPLOADER_ENGINE_THREADS_H_

#include <exception>
#include <functional>
#include <new>
#include <thread>

#include "uploader/base/status.h"

namespace backstay {

// `name` is cut to 15 bytes. `*thread` must not be joinable.
bool StartThread(const char* name, std::function<void()> body, std::thread* thread);

// To be called before memory may run out: the first exception of a thread needs a few bytes for the
// language's own state, and the dynamic linker ends the process when it cannot have them.
inline void ReadyToThrow() noexcept { (void)std::uncaught_exceptions(); }

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

#endif  // BACKSTAY_UPLOADER_ENGINE_THREADS_H_
