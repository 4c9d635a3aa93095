// Thread: a thread of ours inside a host: a small stack, all signals blocked, a name for debuggers.
//
// Owned by whoever starts it, who joins it; any thread, one at a time. The stack is our own and is
// gone with the thread: the C library would take the host's default of 8 MiB, and keep it for the
// next one. Start() fails where there is no memory or no more threads; nothing throws.

#ifndef BACKSTAY_UPLOADER_BASE_THREAD_H_
#define BACKSTAY_UPLOADER_BASE_THREAD_H_

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>

namespace backstay {

class Thread {
 public:
  Thread() noexcept;
  Thread(Thread&&) noexcept;
  Thread& operator=(Thread&&) = delete;
  ~Thread();  // joins

  // `name` is cut to 15 bytes. REQUIRES: !joinable(). What `body` throws ends in it.
  bool Start(const char* name, std::function<void()> body);
  bool joinable() const { return run_ != nullptr; }
  // Nothing of it runs any more, but for what ends a thread: Join() takes no time.
  bool over() const;
  void Join();

  // Of each thread that is started from now on, on top of what the C library and thread-local
  // variables need.
  static std::atomic<size_t> stack_bytes;

 private:
  struct Run;
  static void* Main(void* run);

  std::unique_ptr<Run> run_;  // null: not joinable
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_BASE_THREAD_H_
