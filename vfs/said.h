// Said: what this process was told by the shim, and when it is due again.
//
// What lasts is said at once, again after 5 minutes and then every hour, for as long as the
// application runs into it. Other lines are said once. Owned by Process, which holds a mutex around
// it. Bounded: beyond 1000 lines the one that was met longest ago is forgotten. May throw
// std::bad_alloc; then nothing has changed.

#ifndef BACKSTAY_VFS_SAID_H_
#define BACKSTAY_VFS_SAID_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace backstay {

enum class Repeat { kNever, kWhileItLasts };

struct SaidOptions {
  std::function<int64_t()> now_ms;  // monotonic; empty: the system's clock
};

class Said {
 public:
  explicit Said(SaidOptions options = {}) : options_(std::move(options)) {}

  // True if `line` is to be said now. Told() follows once that has been done.
  bool Due(const std::string& line, Repeat repeat);
  void Told(const std::string& line) noexcept;
  // It is over: when it comes back it is new.
  void Forget(const std::string& line) noexcept { entries_.erase(line); }

 private:
  struct Entry {
    int64_t met_ms = 0;
    int64_t told_ms = 0;
    uint32_t times = 0;  // it was told
  };

  int64_t Now() const;
  void MakeRoom();

  const SaidOptions options_;
  std::map<std::string, Entry> entries_;
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_SAID_H_
