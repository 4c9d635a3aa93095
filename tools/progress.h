// Progress: how far a restore is, for people on a terminal and for logs.
//
// Owned by the command; Tick() is called by one thread (a Ticker), everything else by any. On a
// terminal a bar that is drawn over again; else a JSON line of the shape of all of Backstay's,
// level INFO, every few seconds, both on stderr. What is over within a second shows nothing. Cannot
// fail.
//
// {"time":…,"level":"INFO","logger":"backstay","msg":"restoring","db":…,"replica":…,"bytes":…,
//  "total_bytes":…,"bytes_per_second":…,"seconds_left":…}: `bytes` of what is to be downloaded;
// seconds_left once a rate is known; both totals only in the phase "restoring".

#ifndef BACKSTAY_TOOLS_PROGRESS_H_
#define BACKSTAY_TOOLS_PROGRESS_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <utility>

#include "uploader/base/clock.h"

namespace backstay {

class Progress {
 public:
  struct Options {
    std::string database;
    Clock* clock = RealClock();
    bool terminal = false;
    std::function<void(const std::string& text)> write;  // to stderr
  };
  explicit Progress(Options options);

  // The first tick that shows anything, and from one to the next, in ms.
  int64_t interval_ms() const { return options_.terminal ? 250 : 5000; }
  // Another phase. `received`: bytes that have come so far, from wherever they are counted;
  // `total`: those that will come in this phase, 0 where that is not known.
  void Begin(const std::string& phase, const std::string& replica,
             std::function<uint64_t()> received, uint64_t total);
  // Bytes of the total that are there already.
  void Found(uint64_t bytes);
  void Tick();
  // Takes the bar away.
  void End();

 private:
  struct Point {
    int64_t at_ms;
    uint64_t bytes;
  };
  uint64_t Done() const;
  // Bytes per second of the last while.
  uint64_t Rate(const Point& now);
  std::string Bar(uint64_t done, uint64_t rate) const;
  std::string Line(uint64_t done, uint64_t rate) const;

  const Options options_;
  std::mutex mutex_;
  std::string phase_;  // this and below: guarded by mutex_
  std::string replica_;
  std::function<uint64_t()> received_;
  uint64_t before_ = 0;  // received when the phase began
  uint64_t total_ = 0;
  uint64_t found_ = 0;
  std::deque<Point> points_;  // of the last while, the oldest first
  int64_t next_ms_;
  bool drawn_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_PROGRESS_H_
