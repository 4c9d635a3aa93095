// Heartbeat: tells a monitor that what this process replicates is safe, as long as that is proven.
//
// Owned by Engine; a thread of its own, for a monitor may be silent. Once in an interval it asks
// for a proof that is not older than that, waits for it, and sends a ping: a good one, or, when the
// proof does not come or something is known to be wrong, `/fail` with the reasons. When this
// process ships nothing it is silent: whoever ships pings. Before the first good ping it is patient
// for one interval. What fails is logged; the application never waits for it.

#ifndef BACKSTAY_UPLOADER_ENGINE_HEARTBEAT_H_
#define BACKSTAY_UPLOADER_ENGINE_HEARTBEAT_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "uploader/base/clock.h"
#include "uploader/base/log.h"
#include "uploader/base/thread.h"
#include "uploader/engine/heartbeat_tally.h"
#include "uploader/engine/proof.h"
#include "uploader/storage/http.h"

namespace backstay {

struct HeartbeatOptions {
  std::string url;
  int64_t interval_ms = 0;
  Clock* clock = nullptr;
  Logger* logger = nullptr;
  std::unique_ptr<HttpTransport> transport;
  HeartbeatTally* tally = nullptr;
  // Of all that this process ships, each seen since then (monotonic); what was not is looked at,
  // and found at the next question. Nothing committed may wait for longer than `lag_ms`.
  std::function<Proof(int64_t since_ms, int64_t lag_ms)> prove;
};

class Heartbeat {
 public:
  explicit Heartbeat(HeartbeatOptions options);
  ~Heartbeat() { Stop(); }

  // Starts the thread unless it runs. False when the system has no more of them.
  bool Start();
  // Ends it; what it sends is cancelled.
  void Stop();
  // One beat, on the calling thread; the seam for tests.
  void Beat();

 private:
  void Run();
  // False: it is to end.
  bool Sleep(int64_t ms);
  Proof Await(int64_t since_ms);
  void Good();
  void Bad(const std::string& why);
  // `what`, and `body`, as Ping has them. False: the monitor has not taken it.
  bool Send(const char* what, const std::string& body);

  const HeartbeatOptions options_;
  const int64_t began_ms_;  // monotonic
  bool told_ = false;       // something was sent; this and below: the beating thread's
  LastingProblem monitor_;  // takes no ping
  LastingProblem unproven_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;  // guarded by mutex_
  Thread thread_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_HEARTBEAT_H_
