// FollowPace: when a follower asks its replica again, and what it says of what holds it up.
//
// Belongs to the follower's thread. Where nothing comes, or what is tried fails, the pauses grow
// with the time that this has lasted; a list is due rarely. Trouble is told once, when it becomes
// another one, and at its end. Cannot fail.

#ifndef BACKSTAY_TOOLS_FOLLOW_PACE_H_
#define BACKSTAY_TOOLS_FOLLOW_PACE_H_

#include <cstdint>
#include <functional>
#include <string>

#include "uploader/base/clock.h"
#include "uploader/base/log.h"
#include "uploader/base/status.h"

namespace backstay {

class FollowPace {
 public:
  struct Options {
    std::string copy;  // path
    int64_t interval_ms = 1000;
    Clock* clock = RealClock();
    std::function<void(Level level, const std::string& text)> say;
    std::function<void(const std::string& text)> recovered;
  };
  explicit FollowPace(Options options);

  // How a try has ended: whether something new came, or what is in the way.
  void Note(const Result<bool>& news);
  // What is new may have been packed by now; true once each time.
  bool ListIsDue();
  // Until the next try.
  int64_t WaitMs() const;

 private:
  int64_t SinceMs(int64_t ms) const { return options_.clock->MonotonicMs() - ms; }
  void NoteTrouble(const Status& status);

  const Options options_;
  int64_t news_ms_;     // monotonic, when something came last
  int64_t trouble_ms_;  // monotonic, since when nothing works
  int64_t list_ms_;     // without anything new, until the next list
  Code trouble_ = Code::kOk;
  Code told_ = Code::kOk;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_FOLLOW_PACE_H_
