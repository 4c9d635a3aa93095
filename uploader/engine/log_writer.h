// LogWriter: the writer's side of the replica's log. Makes sure the replica is ours, takes the log
// over, appends objects, and settles what an ambiguous answer left open.
//
// Owned by Shipper, used on the ship thread only; takes the Core's mutex for short, local work.
// Errors: kFenced (a newer writer owns the log), kInvalid and kCorrupt that no retry can mend (the
// pipeline stops), kDenied and kUnavailable (try again later).

#ifndef BACKSTAY_UPLOADER_ENGINE_LOG_WRITER_H_
#define BACKSTAY_UPLOADER_ENGINE_LOG_WRITER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "uploader/engine/core.h"
#include "uploader/format/log_object.h"

namespace backstay {

class LogWriter {
 public:
  explicit LogWriter(Core* core) : core_(core) {}

  // Identity and, if this state came from a restore, takeover. Once per process, before the first
  // Append().
  Status Connect();
  // The oldest waiting segments, at most ~4 MiB, as one log object. Ok when they are acknowledged
  // (or another object of the log was stepped over: call again).
  Status Append();
  // A small request that tells whether the replica answers.
  Status Probe();

 private:
  struct Batch {
    uint64_t number = 0;
    uint64_t epoch = 0;
    std::string body;
    std::vector<LogHead> heads;  // of its segments
    std::shared_ptr<Fd> wal;
    uint64_t collapses = 0;  // core_->collapses when it was made
  };

  Status FindReplica();
  Status CheckIdentity(const Identity& found);
  // kExists: it was created meanwhile.
  Status CreateReplica();
  Status ForgetVanishedReplica();
  Status TakeOver();
  // One try at `number`; *done when the log is ours.
  Status TryTakeOver(bool* done);
  Status PutNew(const std::string& key, Bytes body);
  Result<Batch> NextBatch();
  Status Settle(const Batch& batch);
  Status StepOver(const LogObject& object, uint64_t number);
  Status CatchUp(const LogObject& object, uint64_t number);
  Status Follow(const LogObject& object, uint64_t number);
  bool Acknowledge(const Batch& batch, size_t segments);

  Core* const core_;
  uint64_t writer_id_ = 0;
  bool acknowledged_ =
      false;  // a PUT of this process succeeded: the log cannot hold unknown segments of ours
  std::vector<uint64_t> doubtful_;  // last segment hashes of PUTs that failed but may have arrived
  bool unfenced_ = false;           // the store cannot create conditionally
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_LOG_WRITER_H_
