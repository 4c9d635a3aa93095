// The positions that capture and shipping have reached: plain values shared by index, outbox and
// engine.
//
// Copied freely; no thread of their own; encoding cannot fail, decoding fails through the
// ByteReader.

#ifndef BACKSTAY_UPLOADER_STATE_POSITIONS_H_
#define BACKSTAY_UPLOADER_STATE_POSITIONS_H_

#include <cstdint>

#include "uploader/base/bytes.h"

namespace backstay {

// A place in a WAL: everything up to `frame` (1-based, 0: the start) has been encoded.
struct WalMark {
  uint32_t salt1 = 0;
  uint32_t salt2 = 0;
  uint32_t frame = 0;
  uint32_t checksum1 = 0;  // of that frame, or of the WAL header when frame is 0
  uint32_t checksum2 = 0;

  bool SameWal(const WalMark& other) const { return salt1 == other.salt1 && salt2 == other.salt2; }
  // Behind a frame without a checksum, as SQLite 3.40 leaves some (capture/README.md): it proves
  // nothing at another start.
  bool bare() const { return frame != 0 && (checksum1 | checksum2) == 0; }
};

// The end of a log of segments.
struct LogHead {
  uint64_t segment_number = 0;
  uint64_t segment_hash = 0;
  uint64_t txid = 0;
  int64_t time_ms = 0;
  bool open = false;  // the last segment was flagged "more": its transaction has not ended
};

// What stat(2) says of a database file whose WAL is gone: equal stamps mean an unchanged database,
// if the first of the two was settled.
struct FileStamp {
  int64_t size = -1;  // -1: no stamp
  int64_t mtime_ns = 0;
  int64_t ctime_ns = 0;
  uint64_t inode = 0;
  // The file's clock had ticked since the last change when this was taken, so that the next change
  // must show. The times of a file follow a clock of up to 10 ms, before Linux 6.13 in any case.
  bool settled = false;

  bool operator==(const FileStamp& other) const {
    return size == other.size && mtime_ns == other.mtime_ns && ctime_ns == other.ctime_ns &&
           inode == other.inode;
  }
};

// Where shipping to one replica stands.
struct ShipState {
  uint64_t epoch = 0;        // 0: the log has no writer yet
  uint64_t writer_id = 0;    // 0: this state came from a restore; take over before shipping
  bool taking_over = false;  // a takeover of epoch + 1 by writer_id has begun
  uint64_t next_log_number = 1;
  // From that number on, objects of a lower epoch are void. Lower than `epoch` if the beginning of
  // a transaction that was never finished lies there, and the takeovers that it is the end for.
  uint64_t void_below = 0;
  LogHead shipped;
  bool fenced = false;          // a newer writer owns the log
  bool restorable = false;      // a snapshot's manifest is in the bucket
  bool marked = false;          // the database file carries its mark
  uint64_t refusing_store = 0;  // hash of the store that was seen to refuse what exists; 0: none
  // The database has another page size than what the log holds: a takeover says so before anything
  // else goes there, and a first snapshot follows.
  bool new_base = false;
  uint64_t base = 0;              // log number of the newest such takeover; 0: there was none
  uint64_t snapshot_number = 0;   // of the newest snapshot
  uint64_t snapshot_above = 0;    // objects that snapshots up to this number need were lost
  uint64_t snapshot_bytes = 0;    // its objects, compressed
  uint64_t log_bytes = 0;         // shipped since it began
  uint64_t packed_through = 0;    // log numbers up to here are in packs
  uint64_t unpacked_bytes = 0;    // of the singles after that
  int64_t unpacked_since_ms = 0;  // when the first of them was shipped; 0: none

  // How often the page size has changed, as an order: a state with less is an older one.
  uint64_t BaseOrder() const { return base * 2 + (new_base ? 1 : 0); }
};

void EncodeWalMark(const WalMark& mark, ByteWriter* out);
WalMark DecodeWalMark(ByteReader* in);
void EncodeLogHead(const LogHead& head, ByteWriter* out);
LogHead DecodeLogHead(ByteReader* in);
void EncodeFileStamp(const FileStamp& stamp, ByteWriter* out);
FileStamp DecodeFileStamp(ByteReader* in);
void EncodeShipState(const ShipState& state, ByteWriter* out);
ShipState DecodeShipState(ByteReader* in);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_POSITIONS_H_
