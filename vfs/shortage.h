// Shortage: what the application ran out of, so that Backstay gave it back, and the pause behind
// that, in which the engine is not asked: near its limit an application would lose and regain it
// with each commit, and no snapshot would ever be finished.
//
// Owned by Process; any thread. Only Line() may fail: std::bad_alloc.

#ifndef BACKSTAY_VFS_SHORTAGE_H_
#define BACKSTAY_VFS_SHORTAGE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>

namespace backstay {

// Milliseconds of the system's monotonic clock.
int64_t MonotonicMs();

struct ShortageOptions {
  std::function<int64_t()> now_ms = MonotonicMs;
};

class Shortage {
 public:
  enum What { kNothing, kDescriptors, kMemory };

  explicit Shortage(ShortageOptions options = {}) : options_(std::move(options)) {}

  // The application has run out of it: the pause begins, anew if need be. Returns what Cancel()
  // wants to know where there was nothing to give back.
  int64_t Begin(What what) noexcept;
  void Cancel(int64_t before) noexcept { until_ms_ = before; }
  bool Lasts() const;
  // What is said of it, and how to have it no more; empty: nothing was given back so far.
  std::string Line() const;

 private:
  const ShortageOptions options_;
  std::atomic<What> what_ = kNothing;
  std::atomic<int64_t> until_ms_ = 0;
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_SHORTAGE_H_
