// SnapshotCopy: how far the snapshot that is being made has come, and whether it still counts.
//
// Owned by Core, guarded by its mutex. The job thread copies the pages and asks for an end; a
// transaction that came without images leaves pages unknown meanwhile, so that the end is a moment
// in which none is, found by that thread or by the capture thread behind a repair.
//
// What is in the bucket of it is kept in the state folder (file `snapshot`), so that the next
// process goes on with it. It does so only while the outbox names this very copy by its nonce, in a
// record behind the one of the file: the outbox has its own descriptor, so that a copy is ended
// also where no file can be opened or removed. It is kept as long as these hold; else Forget():
// - Every transaction since it began was encoded, of a first copy from its images: index, outbox
// and
//   file then tell of each page what the log and the frames hold.
// - Its end is not found. From there on segments lean on the frames as they were read, and none may
//   be written anew. A process that ends between that and the manifest costs a new snapshot.
// A process may end at any moment. Before the record that names it, nobody goes on with a copy.
// Before it is forgotten, what voided it has had no effect on the disk but in the database file,
// and the next process finds that one changed and compares. A frame that the file lacks is copied
// and sent again. Where the outbox cannot be written it rests: the disk holds a state that once
// was, to which no frame is added. Where the file cannot be removed either, the index is not
// written (Told()), so that this stays so, and no end is taken: the copy is void, and the next one
// is kept nowhere. Who has lost the lock of the state folder leaves all of it to who has it.

#ifndef BACKSTAY_UPLOADER_ENGINE_SNAPSHOT_COPY_H_
#define BACKSTAY_UPLOADER_ENGINE_SNAPSHOT_COPY_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "uploader/format/keys.h"
#include "uploader/format/segment.h"
#include "uploader/state/begun_snapshot.h"
#include "uploader/state/outbox.h"
#include "uploader/state/positions.h"

namespace backstay {

class SnapshotCopy {
 public:
  SnapshotCopy(std::string path, const std::unique_ptr<Outbox>* outbox)
      : outbox_(outbox), file_(std::move(path)) {}

  // `holds`: whether the state folder is this process's own, as it is until asked otherwise.
  void AskLock(std::function<bool()> holds) { holds_lock_ = std::move(holds); }
  // The number of this copy. Of a first one the index is in the state folder as it is now.
  uint64_t Begin(const BegunSnapshot& begun) {
    Forget();
    phase_ = Phase::kPages;
    arrived_ = begun.pages == 0;
    // The record names this one in the place of any other.
    wanted_ = holds_lock_() && file_.Begin(begun) && (*outbox_)->AppendCopy(begun.nonce).ok();
    kept_ = kept_ || wanted_;
    if (!wanted_ && holds_lock_()) file_.Remove();
    return run_;
  }
  // What an earlier process has left, if it has left any: GoOn() or Void() is to follow.
  std::optional<BegunSnapshot> Left(uint64_t most_bytes) {
    std::optional<BegunSnapshot> left = file_.Read(most_bytes);
    const uint64_t named = (*outbox_)->copy();
    return left && named != 0 && left->nonce == named ? left : std::nullopt;
  }
  void GoOn(BegunSnapshot left) {
    wanted_ = true;
    arrived_ = left.pages == 0 || !left.frames.empty();
    left_ = std::move(left);
    phase_ = Phase::kPages;
  }
  // GoOn() was called, and nobody copies yet.
  bool waits() const { return left_.has_value(); }
  // The copy goes on from here: number and what is there of it.
  std::pair<uint64_t, BegunSnapshot> Take() { return {run_, *std::exchange(left_, std::nullopt)}; }
  // A frame of the copy that counts is in the bucket, or it has none: who finds the log sees that a
  // snapshot is being made.
  void Arrived() { arrived_ = true; }
  bool arrived() const { return arrived_; }
  // The next frame of the copy that counts is in the bucket. What was read of its pages is what the
  // transactions handed over so far say.
  void Keep(const BegunSnapshot::Frame& frame) {
    if (!wanted_ || !holds_lock_()) return;
    if ((*outbox_)->resting() || !file_.AddFrame(frame)) Forget();
  }
  // No other process goes on with it. False: one may.
  bool Forget() {
    wanted_ = false;
    if (!kept_) return true;
    if (!holds_lock_()) return false;
    const bool removed = file_.Remove();
    const bool named = !removed || (*outbox_)->copy() != 0;
    const bool unnamed = !named || (*outbox_)->AppendCopy(0).ok();
    kept_ = !removed && !unnamed;
    return !kept_;
  }
  // The next process does not go on with one that is void: before the index is written, which is
  // true without it.
  bool Told() { return wanted_ || Forget(); }
  // All its pages are copied: from now on any moment without unknown pages may be its end. What is
  // unknown is repaired for it, so that no other process can go on.
  void SeekEnd() {
    Forget();
    phase_ = Phase::kEnd;
  }
  // Copy and log up to `end` are a state of the database; behind Forget(). The manifest follows,
  // once both are in the bucket.
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
    left_.reset();
    Forget();
  }

  // The same here; the next process may go on with it.
  void Leave() {
    phase_ = Phase::kNone;
    ++run_;
    left_.reset();
  }

  bool Counts(uint64_t run) const { return run_ == run; }
  // Pages are copied, or an end is sought: what is encoded is replayed on top.
  bool active() const { return phase_ == Phase::kPages || phase_ == Phase::kEnd; }
  // It has begun, and its manifest has not been written.
  bool under_way() const { return phase_ != Phase::kNone || waits(); }
  bool seeks_end() const { return phase_ == Phase::kEnd; }
  // Every page is in the copy or in a segment, but for those that are unknown.
  bool has_all() const { return phase_ == Phase::kEnd || phase_ == Phase::kShips; }
  const LogHead& end() const { return end_; }

 private:
  enum class Phase { kNone, kPages, kEnd, kShips };

  Phase phase_ = Phase::kNone;
  uint64_t run_ = 0;  // another value: the copy that began with the old one is void
  bool arrived_ = false;
  LogHead end_;
  const std::unique_ptr<Outbox>* outbox_;  // Core's
  BegunSnapshotFile file_;
  std::function<bool()> holds_lock_ = [] { return true; };
  // The next process may go on with a copy: at first, with an earlier one's.
  bool kept_ = true;
  bool wanted_ = false;  // it is to go on with this one
  std::optional<BegunSnapshot> left_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_SNAPSHOT_COPY_H_
