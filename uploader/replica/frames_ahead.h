// FramesAhead: the first frames of the snapshot that a restore will begin with, fetched while what
// else the replica holds is still being listed and read.
//
// Owned by whoever restores, who calls all but Take() on one thread at a time; Take() on any,
// several at once. A frame is asked for once: one that fails, or that nobody has begun with when
// it is wanted, is left to the replay, which tries again and says what is wrong. So nothing here
// fails. The wrong guess (the newest snapshot turns out not to lead there) costs its requests and
// nothing else, a restore that ends before its replay likewise. Drop() and the destructor wait for
// the requests under way. Memory: `room`.

#ifndef BACKSTAY_UPLOADER_REPLICA_FRAMES_AHEAD_H_
#define BACKSTAY_UPLOADER_REPLICA_FRAMES_AHEAD_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "uploader/base/thread.h"
#include "uploader/format/snapshot.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

class FramesAhead {
 public:
  struct Limits {
    size_t requests = 16;     // at a time
    uint64_t room = 8 << 20;  // bytes
  };
  // `client` outlives it.
  FramesAhead(ReplicaClient* client, Limits limits) : client_(client), limits_(limits) {}
  ~FramesAhead() { Drop(); }
  FramesAhead(const FramesAhead&) = delete;
  FramesAhead& operator=(const FramesAhead&) = delete;

  // Begins with the frames of this snapshot, unless it has; those of another are dropped.
  void Begin(const SnapshotManifest& manifest);
  // Drops all, unless they are of this snapshot.
  void KeepOf(const SnapshotManifest& manifest);
  void Drop();
  // The object of a frame, once; waits while it is under way (`*waited`). nullopt: to be fetched.
  std::optional<std::string> Take(const SnapshotManifest& manifest, size_t frame, bool* waited);

 private:
  enum class State { kIdle, kUnderWay, kThere, kGone };
  struct Frame {
    State state = State::kIdle;
    std::string key = {};
    uint64_t bytes = 0;
    std::string body = {};
  };

  bool IsOf(const SnapshotManifest& manifest) const;
  void Work();
  Result<std::string> Fetch(const Frame& frame) const;

  ReplicaClient* const client_;
  const Limits limits_;
  uint64_t snapshot_ = 0;  // its next log number; 0: none
  uint64_t nonce_ = 0;
  std::vector<Thread> threads_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Frame> frames_;  // from here guarded by mutex_
  size_t next_ = 0;
  bool stop_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_FRAMES_AHEAD_H_
