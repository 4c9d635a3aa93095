#include "uploader/state/positions.h"

namespace backstay {
namespace {

constexpr uint64_t kSettledBit = uint64_t{1} << 62;  // above any size of a file

}  // namespace

void EncodeWalMark(const WalMark& mark, ByteWriter* out) {
  for (uint32_t v : {mark.salt1, mark.salt2, mark.frame, mark.checksum1, mark.checksum2}) {
    out->U32(v);
  }
}

WalMark DecodeWalMark(ByteReader* in) {
  WalMark mark;
  for (uint32_t* v : {&mark.salt1, &mark.salt2, &mark.frame, &mark.checksum1, &mark.checksum2}) {
    *v = in->U32();
  }
  return mark;
}

void EncodeLogHead(const LogHead& head, ByteWriter* out) {
  out->Varint(head.segment_number);
  out->U64(head.segment_hash);
  out->Varint(head.txid);
  out->Varint(static_cast<uint64_t>(head.time_ms));
  out->U8(head.open ? 1 : 0);
}

LogHead DecodeLogHead(ByteReader* in) {
  LogHead head;
  head.segment_number = in->Varint();
  head.segment_hash = in->U64();
  head.txid = in->Varint();
  head.time_ms = static_cast<int64_t>(in->Varint());
  head.open = in->U8() != 0;
  return head;
}

void EncodeFileStamp(const FileStamp& stamp, ByteWriter* out) {
  uint64_t size = static_cast<uint64_t>(stamp.size);
  out->U64(stamp.settled ? size | kSettledBit : size);
  out->U64(static_cast<uint64_t>(stamp.mtime_ns));
  out->U64(static_cast<uint64_t>(stamp.ctime_ns));
  out->U64(stamp.inode);
}

FileStamp DecodeFileStamp(ByteReader* in) {
  FileStamp stamp;
  uint64_t size = in->U64();
  // Both high bits: the size is -1.
  stamp.settled = size >> 62 == 1;
  stamp.size = static_cast<int64_t>(stamp.settled ? size & ~kSettledBit : size);
  stamp.mtime_ns = static_cast<int64_t>(in->U64());
  stamp.ctime_ns = static_cast<int64_t>(in->U64());
  stamp.inode = in->U64();
  return stamp;
}

void EncodeShipState(const ShipState& state, ByteWriter* out) {
  out->Varint(state.epoch);
  out->U64(state.writer_id);
  out->Varint(state.next_log_number);
  EncodeLogHead(state.shipped, out);
  const bool based = state.BaseOrder() != 0;
  out->U8(static_cast<uint8_t>((state.fenced ? 1 : 0) | (state.restorable ? 2 : 0) |
                               (state.taking_over ? 4 : 0) | (state.marked ? 8 : 0) |
                               (state.void_below != state.epoch ? 16 : 0) |
                               (state.snapshot_above != 0 ? 32 : 0) |
                               (state.refusing_store != 0 ? 64 : 0) | (based ? 128 : 0)));
  if (state.void_below != state.epoch) out->Varint(state.void_below);
  if (state.snapshot_above != 0) out->Varint(state.snapshot_above);
  if (state.refusing_store != 0) out->U64(state.refusing_store);
  // One field for both: a build that knows neither takes the state for damaged.
  if (based) out->Varint(state.BaseOrder());
  for (uint64_t v :
       {state.snapshot_number, state.snapshot_bytes, state.log_bytes, state.packed_through,
        state.unpacked_bytes, static_cast<uint64_t>(state.unpacked_since_ms)}) {
    out->Varint(v);
  }
}

ShipState DecodeShipState(ByteReader* in) {
  ShipState state;
  state.epoch = in->Varint();
  state.writer_id = in->U64();
  state.next_log_number = in->Varint();
  state.shipped = DecodeLogHead(in);
  uint8_t flags = in->U8();
  state.fenced = (flags & 1) != 0;
  state.restorable = (flags & 2) != 0;
  state.taking_over = (flags & 4) != 0;
  state.marked = (flags & 8) != 0;
  state.void_below = (flags & 16) != 0 ? in->Varint() : state.epoch;
  state.snapshot_above = (flags & 32) != 0 ? in->Varint() : 0;
  state.refusing_store = (flags & 64) != 0 ? in->U64() : 0;
  const uint64_t base = (flags & 128) != 0 ? in->Varint() : 0;
  state.new_base = base % 2 != 0;
  state.base = base / 2;
  for (uint64_t* v : {&state.snapshot_number, &state.snapshot_bytes, &state.log_bytes,
                      &state.packed_through, &state.unpacked_bytes}) {
    *v = in->Varint();
  }
  state.unpacked_since_ms = static_cast<int64_t>(in->Varint());
  return state;
}

}  // namespace backstay
