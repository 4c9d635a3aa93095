// Outbox: the segments that are encoded and not yet shipped; at the same time the redo log of the
// index.
//
// Record (little-endian): u32 payload length, u8 type, payload, u32 low half of XXH3-64 of type and
// payload, xor that of the database id. Types: 1 segment (EncodedSegment, then the segment's
// bytes), 2 ShipState, 3 FileStamp, 4 u64 nonce of the snapshot that is being made and that another
// process may go on with, or 0. A record that is cut off or does not match its hash ends the file:
// what follows was never finished (a torn tail is not damage), or is another database's.
//
// Append… and Compact on the capture and ship threads under the pipeline's mutex; ReadSegment
// likewise. Appends are not synced. The file is always a beginning of what happened, so that a
// later life finds a state that once was: when the disk refuses an append, or what was appended is
// forgotten, the file rests. Segments wait in memory then, until Compact() has made the file true
// again; the error is returned once.

#ifndef BACKSTAY_UPLOADER_STATE_OUTBOX_H_
#define BACKSTAY_UPLOADER_STATE_OUTBOX_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "uploader/base/file.h"
#include "uploader/base/status.h"
#include "uploader/format/keys.h"
#include "uploader/format/segment.h"
#include "uploader/state/positions.h"

namespace backstay {

// What the index must learn when a segment is appended (or redone).
struct EncodedSegment {
  LogHead head;  // after the segment
  WalMark wal;   // after the segment
  uint32_t pages = 0;
  uint64_t checksum =
      0;  // PageIndex::checksum() after it: a redo that ends elsewhere is not to be trusted
  std::vector<std::pair<uint32_t, uint64_t>>
      hashes;  // page number, its hash after the segment (0: gone)
};

// `segment` must ignore segments that the index holds already (head.segment_number not above its
// own).
struct OutboxRedo {
  std::function<void(const EncodedSegment&)> segment;
  std::function<void(const ShipState&)> ship;
  std::function<void(const FileStamp&)> stamp;
};

class Outbox {
 public:
  explicit Outbox(std::string path) : path_(std::move(path)) {}

  // Whose records these are, from here on; before Open(), if that is known.
  void SetOwner(const DatabaseId& id);
  // Reads what an earlier life left (in order, through `redo`) and makes the file ready for
  // appending.
  Status Open(const OutboxRedo& redo);
  Status AppendSegment(const EncodedSegment& encoded, const std::string& segment);
  Status AppendShip(const ShipState& state);
  Status AppendStamp(const FileStamp& stamp);
  // An error: the file may still name another one, or none.
  Status AppendCopy(uint64_t nonce);
  // The one that was named last, 0: none.
  uint64_t copy() const { return copy_; }

  struct Pending {
    LogHead head;
    uint32_t size = 0;   // bytes of the segment
    int64_t offset = 0;  // in the file; -1: in `memory`
    std::string memory;
    std::vector<uint32_t> pages;  // page numbers in it
  };
  // Oldest first. Segments up to a shipped number are dropped by Shipped().
  const std::deque<Pending>& pending() const { return pending_; }
  uint64_t pending_bytes() const { return pending_bytes_; }
  // Bytes of the file from the oldest of them on, at least theirs: what cannot be saved elsewhere.
  uint64_t waiting_bytes() const;
  Result<std::string> ReadSegment(const Pending& pending) const;
  // The same, proven to be the segment that was encoded: a disk that is about to die answers with
  // other bytes.
  struct Waiting {
    std::string bytes;
    SegmentHeader header;
  };
  Result<Waiting> ReadProven(const Pending& pending) const;
  void Shipped(uint64_t segment_number);
  // Forgets all pending segments (the caller has made their pages unknown in the index).
  void DropPending();
  // What happened since is not in the file, and nothing more goes into it before Compact().
  void Rest() { resting_ = true; }
  bool resting() const { return resting_; }
  // The application has closed its descriptor.
  bool lost() const { return open_ && !fd_.valid(); }
  // Rewrites the file with only the pending segments, unless that is much for little; the index
  // file must hold everything else by now. One that rests does so until what could not be written
  // would be taken.
  Status Compact();
  // Bytes in the file.
  uint64_t file_bytes() const { return static_cast<uint64_t>(end_); }

 private:
  uint32_t RecordHash(Bytes type_and_payload) const;
  Status WriteRecord(uint8_t type, std::string_view payload);
  Status Append(uint8_t type, std::string_view payload);
  void Redo(Bytes payload, uint8_t type, int64_t payload_offset, const OutboxRedo& redo);
  void Push(const EncodedSegment& encoded, uint32_t size, int64_t offset, std::string memory);
  Status Rewrite();
  Status ProveRoom();
  Status MovePending();
  Status MoveCopy();
  void EndRecords();

  const std::string path_;
  uint32_t owner_ = 0;
  Fd fd_;
  bool open_ = false;  // fd_ was set
  bool resting_ = false;
  size_t refused_ = 0;  // bytes of the longest record that was not taken, up to a bound
  int64_t end_ = 0;
  std::deque<Pending> pending_;
  uint64_t pending_bytes_ = 0;
  uint64_t copy_ = 0;
};

// The payload of a segment record before the segment's own bytes; exposed for the fuzz target.
std::string EncodeOutboxSegment(const EncodedSegment& encoded);
Result<EncodedSegment> ParseOutboxSegment(Bytes payload, size_t* consumed);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_OUTBOX_H_
