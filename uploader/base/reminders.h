// Reminders: when a state that lasts until somebody acts is said again.
//
// At once, after 5 minutes, and then every hour, with the time since when. One state for each thing
// that it is a state of: another text is another state. Owned by Logger; any thread. Survives what
// it is told of: an application that opens and closes a stopped database for each request hears no
// more of it than one that keeps it open.

#ifndef BACKSTAY_UPLOADER_BASE_REMINDERS_H_
#define BACKSTAY_UPLOADER_BASE_REMINDERS_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "uploader/base/clock.h"

namespace backstay {

class Reminders {
 public:
  explicit Reminders(Clock* clock) : clock_(clock) {}

  // What to say now, if anything.
  std::optional<std::string> Due(const std::string& what, const std::string& message);
  // The state is over. False: there was none.
  bool Forget(const std::string& what);

 private:
  struct State {
    std::string message;
    int64_t since_ms = 0;  // wall clock
    int64_t said_ms = 0;   // monotonic
    uint32_t times = 0;
  };

  Clock* const clock_;
  std::mutex mutex_;
  std::map<std::string, State> states_;  // guarded by mutex_
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_BASE_REMINDERS_H_
