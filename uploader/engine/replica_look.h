// ReplicaLook: whether what a writer relies on is in the bucket: identity, newest snapshot with its
// frames, end of the log, and every number of it behind that snapshot. These are written once, and
// a PUT does not tell that somebody has deleted them.
//
// Owned by LogWriter, used on the ship thread; takes the Core's mutex for short, local work. Six
// small requests. Fails with the client's error, or kForeign: the prefix holds another replica. An
// object counts as missing when two requests in a row say so.

#ifndef BACKSTAY_UPLOADER_ENGINE_REPLICA_LOOK_H_
#define BACKSTAY_UPLOADER_ENGINE_REPLICA_LOOK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "uploader/engine/core.h"

namespace backstay {

struct MissingObjects {
  bool identity = false;
  bool snapshot = false;  // no snapshot is whole
  bool head = false;      // the last object of the log
  uint64_t hole = 0;      // number of another one, behind the newest snapshot; 0: none
  bool log() const { return head || hole != 0; }
  bool any() const { return identity || snapshot || log(); }
  std::string Names() const;
};

class ReplicaLook {
 public:
  explicit ReplicaLook(Core* core) : core_(core) {}

  // While there is something to ship, a look is due every few minutes; an idle database causes no
  // request.
  bool Due() const;
  // Not so lately that another look could only say the same.
  bool Stale() const;
  // So long ago that what lies behind the manifest is to be looked at for a proof, too.
  bool Old() const;
  // The replica is gone, where to ask costs nothing: what is written next would be all of it.
  bool Vanished();
  // Something was missing: whoever deletes it may be at it still, so the next look is due soon.
  void Lost() { lost_ = true; }
  int64_t Begin() const { return core_->options.clock->MonotonicMs(); }
  // One that began then has found all that was missing.
  void Done(int64_t began_ms);
  // The identity alone was looked at, and is there.
  void Glanced(int64_t began_ms);
  // One other object was.
  void Proved(int64_t began_ms);

  // kNotFound: there is none.
  Result<Identity> FindIdentity();
  // Every second time, once there is a snapshot: its manifest is to be looked at, not the identity.
  bool IsManifestsTurn();
  // The newest snapshot's. False also where its number is not known.
  Result<bool> HasManifest();
  // Of what this state knows, snapshot and log. The identity is the caller's.
  Result<MissingObjects> FindRest();
  // There is something in the log behind that number, as far as FindRest() has seen or the next
  // number tells.
  Result<bool> GoesOn(uint64_t last);
  // The number of the newest snapshot that is finished and may be used; 0: there is none.
  Result<uint64_t> NewestSnapshot();
  // The highest number in a pack, of those packs that may hold object `number` or a later one; 0:
  // there is none of them.
  Result<uint64_t> PackedThrough(uint64_t number);

 private:
  Result<bool> Exists(const std::string& key);
  Result<bool> IsWhole(uint64_t snapshot);
  Result<bool> HasSnapshot();
  void Proven();
  Result<bool> HasLogObject(uint64_t number);
  Result<uint64_t> FindHole();
  Result<std::vector<std::pair<uint64_t, uint64_t>>> Listed(uint64_t first);

  Core* const core_;
  std::optional<int64_t> looked_ms_;  // monotonic
  bool lost_ = false;                 // in the look that is under way
  uint64_t listed_through_ = 0;       // the highest number in the last lists; 0: none were made
  int64_t pause_ms_ = 0;              // behind the last one
  bool manifests_turn_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_REPLICA_LOOK_H_
