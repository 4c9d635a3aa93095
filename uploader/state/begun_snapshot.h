// BegunSnapshot: a snapshot whose manifest is still to be written, as far as its frames are in the
// bucket: file `snapshot` of a state folder. The next process goes on with it.
//
// BegunSnapshotFile is owned by Core, and used with its mutex held. Whether a snapshot still counts
// is not for this file to say (engine/snapshot_copy.h): it may not be possible to remove it. What
// cannot be written is an error, what cannot be read back is not there, and the snapshot starts
// over. Format (little-endian): records of u8 kind, u32 length, the payload, u64 XXH3-64 of all
// that; the first one says what was begun, each other one tells of a frame. Appended, not synced:
// it counts for the boot of the machine in which it was written. A tail that was never finished
// ends it. No descriptor stays open.

#ifndef BACKSTAY_UPLOADER_STATE_BEGUN_SNAPSHOT_H_
#define BACKSTAY_UPLOADER_STATE_BEGUN_SNAPSHOT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "uploader/base/bytes.h"
#include "uploader/format/keys.h"
#include "uploader/state/positions.h"

namespace backstay {

struct BegunSnapshot {
  struct Frame {
    uint64_t bytes = 0;  // of its object
    // Of its pages. Kept of a first snapshot, whose index lacks what is not copied yet; else empty.
    std::vector<uint64_t> hashes;
    uint64_t checksum = 0;  // their sum, modulo 2^64
  };

  DatabaseId database_id{};
  uint32_t page_size = 0;
  bool first = false;  // nothing can be restored before it is complete
  uint64_t writer_id = 0;
  uint64_t epoch = 0;
  uint64_t base = 0;
  uint64_t number = 0;  // next log number when it began
  uint64_t nonce = 0;
  LogHead start;
  uint32_t pages = 0;
  uint64_t log_bytes = 0;     // of the log, when it began
  std::vector<Frame> frames;  // the first ones, in the bucket
};

class BegunSnapshotFile {
 public:
  explicit BegunSnapshotFile(std::string path) : path_(std::move(path)) {}

  // Without its frames. False: it was not written.
  [[nodiscard]] bool Begin(const BegunSnapshot& begun);
  // What was begun has one more frame. False: the file does not say so, and takes no other one.
  [[nodiscard]] bool AddFrame(const BegunSnapshot::Frame& frame);
  // What a process has left in this boot, if that is no longer than so; then it can be added to.
  std::optional<BegunSnapshot> Read(uint64_t most_bytes);
  // False: it may still be there.
  bool Remove();

 private:
  bool Append(uint8_t kind, Bytes payload);

  const std::string path_;
  uint64_t end_ = 0;  // bytes of the file; 0: there is none, as far as known
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_BEGUN_SNAPSHOT_H_
