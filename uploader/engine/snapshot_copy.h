// SnapshotCopy: how far the snapshot that is being made has come, and whether it still counts.
//
// Owned by Core, guarded by its mutex. The job thread copies the pages and asks for an end; a
// transaction that came without images leaves pages unknown meanwhile, so that the end is a moment
// in which none is, found by that thread or by the capture thread behind a repair. Plain state that
// cannot fail.

#ifndef BACKSTAY_UPLOADER_ENGINE_SNAPSHOT_COPY_H_
#define BACKSTAY_UPLOADER_ENGINE_SNAPSHOT_COPY_H_

#include <cstdint>

#include "uploader/format/keys.h"
#include "uploader/format/segment.h"
#include "uploader/state/positions.h"

namespace backstay {

class SnapshotCopy {
 public:
  // The number of this copy.
  uint64_t Begin() {
    phase_ = Phase::kPages;
    return run_;
  }
  // All its pages are copied: from now on any moment without unknown pages may be its end.
  void SeekEnd() { phase_ = Phase::kEnd; }
  // Copy and log up to `end` are a state of the database. The manifest follows, once both are in
  // the bucket.
  void End(const LogHead& end) {
    end_ = end;
    phase_ = Phase::kShips;
  }
  void Done(uint64_t run) {
    if (Counts(run)) phase_ = Phase::kNone;
  }
  // Whatever is being made is worth nothing.
  void Void() {
    phase_ = Phase::kNone;
    ++run_;
  }

  bool Counts(uint64_t run) const { return run_ == run; }
  // Pages are copied, or an end is sought: what is encoded is replayed on top.
  bool active() const { return phase_ == Phase::kPages || phase_ == Phase::kEnd; }
  bool seeks_end() const { return phase_ == Phase::kEnd; }
  // Every page is in the copy or in a segment, but for those that are unknown.
  bool has_all() const { return phase_ == Phase::kEnd || phase_ == Phase::kShips; }
  const LogHead& end() const { return end_; }

 private:
  enum class Phase { kNone, kPages, kEnd, kShips };

  Phase phase_ = Phase::kNone;
  uint64_t run_ = 0;  // another value: the copy that began with the old one is void
  LogHead end_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_SNAPSHOT_COPY_H_
