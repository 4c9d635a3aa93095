// UploadPace: how long to wait between two uploads, so that a month's requests keep to their
// budget.
//
// Owned by Shipper, used on the ship thread. All requests of the replica's client count, whichever
// thread sent them, at S3's relative prices: PUT and LIST in full, GET a little, DELETE nothing.
// What is left is kept in the file `budget` of the state folder (text, the same in every locale:
// PUTs, wall clock in ms, and when it was last told that the budget cannot be kept), so that
// processes that live for a moment share one budget, and tell of it once a day; a file that is lost
// or damaged gives half a day's share. Failures to write it are survived. Not for replicas whose
// requests cost nothing (a folder), nor with durability=sync.

#ifndef BACKSTAY_UPLOADER_ENGINE_UPLOAD_PACE_H_
#define BACKSTAY_UPLOADER_ENGINE_UPLOAD_PACE_H_

#include <cstdint>

#include "uploader/engine/core.h"
#include "uploader/engine/request_budget.h"

namespace backstay {

class UploadPace {
 public:
  explicit UploadPace(Core* core);

  // Takes up what earlier processes have left. Once, by the process that ships.
  void Begin();
  // Between the starts of two uploads, ms. Says when the budget begins to slow them, and stops.
  int64_t IntervalMs();
  // Notes what was sent; `last`: the process ends.
  void Settle(bool last);

 private:
  void Restore();
  double Sent() const;
  void Save();
  void Say(int64_t interval_ms);

  Core* const core_;
  const bool counts_;
  RequestBudget budget_;
  double sent_ = 0;        // of this process, counted so far
  double saved_sent_ = 0;  // when it was last saved
  int64_t saved_ms_ = 0;   // monotonic, likewise; 0: never
  bool begun_ = false;
  bool slowed_ = false;
  bool exceeded_ = false;  // since it is slowed
  int64_t told_ms_ = 0;    // wall clock: the WARN, by whichever process; 0: never
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_UPLOAD_PACE_H_
