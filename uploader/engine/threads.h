// Threads of ours inside a host: all signals blocked, a name for debuggers.
//
// Any thread may start one. Returns false when the system has no more threads; nothing throws.

#ifndef BACKSTAY_UPLOADER_ENGINE_THREADS_H_
#define BACKSTAY_UPLOADER_ENGINE_THREADS_H_

#include <functional>
#include <thread>

namespace backstay {

// `name` is cut to 15 bytes. `*thread` must not be joinable.
bool StartThread(const char* name, std::function<void()> body, std::thread* thread);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_THREADS_H_
