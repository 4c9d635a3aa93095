// Shipper: the ship thread of one pipeline. Connects, appends what the outbox holds, backs off,
// starts jobs.
//
// Owned by Pipeline, which runs Run() on a thread and ends it with the core's life and ship_work.
// One PUT in flight. An error that a retry may mend is logged, counted and retried for ever; the
// others stop the pipeline (Core::Stop).

#ifndef BACKSTAY_UPLOADER_ENGINE_SHIPPER_H_
#define BACKSTAY_UPLOADER_ENGINE_SHIPPER_H_

#include <cstdint>
#include <functional>
#include <mutex>

#include "uploader/engine/core.h"
#include "uploader/engine/jobs.h"
#include "uploader/engine/log_writer.h"
#include "uploader/engine/upload_pace.h"
#include "uploader/storage/retry_policy.h"

namespace backstay {

class Shipper {
 public:
  Shipper(Core* core, Jobs* jobs)
      : core_(core), jobs_(jobs), log_(core), pace_(core), retry_({}, core->options.random) {}

  void Run();

 private:
  bool Connect();
  void Ship();
  bool WaitForSegments();
  bool WaitsLocked() const;
  // The pause between two uploads would save no request, or what waits needs room.
  bool PressesLocked() const;
  // Waits out the interval between uploads, unless somebody waits for the bucket or the outbox
  // presses. False: stop.
  bool WaitForInterval();
  // With durability=sync: those that the last PUT has answered soon commit again, and what goes out
  // without them makes them wait for a second PUT. Gives them a fraction of a round trip.
  void WaitForGroup();
  bool Wanted(bool (LookBook::*look)() const) const;
  // Behind an upload, at a bounded rate.
  Status GlanceIfDue();
  bool Settled(const Status& status);
  void LookAtSettings(bool denied);
  void Stop(const Status& status);
  bool PauseAfter(const Status& status);
  // Between two looks at the settings; until `over` at most.
  void Rest(int64_t ms, bool denied, const std::function<bool()>& over,
            std::unique_lock<std::mutex>* lock);
  void Succeeded();
  bool OverLocked() const { return core_->life.over(); }

  Core* const core_;
  Jobs* const jobs_;
  LogWriter log_;
  UploadPace pace_;
  RetryPolicy retry_;
  int64_t acknowledged_ms_ = 0;  // monotonic, when the last PUT was
  int64_t round_trip_ms_ = 0;    // of that PUT
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_SHIPPER_H_
