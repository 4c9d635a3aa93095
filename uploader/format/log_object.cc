#include "uploader/format/log_object.h"

#include <algorithm>
#include <functional>
#include <optional>

#include "uploader/base/hash.h"
#include "uploader/format/checks.h"

namespace backstay {
namespace {

constexpr uint32_t kMagic = 0x54534b42;  // "BKST"
constexpr const char* kWhat = "log object";

// Segments of one object come from one writer in one go: each continues the one before.
Status CheckFollows(const Segment& before, const Segment& segment) {
  const SegmentHeader& header = segment.header();
  if (header.number != before.header().number + 1 || header.previous_hash != before.hash() ||
      header.first_txid != before.last_txid() + 1 ||
      header.page_size != before.header().page_size) {
    return Corrupt(kWhat, "a segment does not follow the one before it");
  }
  return Status::Ok();
}

// Hands out one behind the other; returns how many there are.
Result<uint64_t> ParseSegments(Bytes data, const std::function<void(const Segment&)>& take) {
  std::optional<Segment> last;
  uint64_t count = 0;
  for (; !data.empty(); ++count) {
    size_t consumed = 0;
    Result<Segment> segment = Segment::Parse(data, &consumed);
    if (!segment.ok()) return segment.status().Wrap(kWhat);
    if (last) BACKSTAY_TRY(CheckFollows(*last, *segment));
    take(*segment);
    last = std::move(*segment);
    data = data.subspan(consumed);
  }
  return count;
}

Result<Takeover> ParseTakeover(Bytes object, size_t offset, LogKind kind) {
  BACKSTAY_TRY(CheckTrailingHash("takeover record", object));
  ByteReader in(object.subspan(offset));
  Takeover takeover;
  Bytes id = in.Raw(takeover.database_id.size());
  std::copy(id.begin(), id.end(), takeover.database_id.begin());
  takeover.writer_id = in.U64();
  takeover.time_ms = ReadTime(&in);
  takeover.segment_number = in.Varint();
  takeover.segment_hash = in.U64();
  takeover.txid = in.Varint();
  if (kind == LogKind::kNewBase) takeover.page_size = ReadPageSize(&in);
  in.U64();  // the hash
  if (!in.ok() || in.remaining() != 0) return Corrupt("takeover record", "wrong length");
  return takeover;
}

}  // namespace

std::string EncodeLogHeader(const LogHeader& header) {
  ByteWriter out;
  out.U32(kMagic);
  out.U8(FormatVersionOf(header.kind));
  out.U8(static_cast<uint8_t>(header.kind));
  out.Varint(header.epoch);
  out.Varint(header.number);
  out.Varint(header.segments);
  out.U32(static_cast<uint32_t>(Hash(out.bytes())));
  return out.Take();
}

std::string EncodeTakeover(uint64_t epoch, uint64_t number, const Takeover& takeover) {
  ByteWriter out;
  const bool new_base = takeover.page_size != 0;
  out.Raw(EncodeLogHeader({new_base ? LogKind::kNewBase : LogKind::kTakeover, epoch, number, 0}));
  out.Raw(Bytes(takeover.database_id));
  out.U64(takeover.writer_id);
  out.Varint(static_cast<uint64_t>(std::max<int64_t>(takeover.time_ms, 0)));
  out.Varint(takeover.segment_number);
  out.U64(takeover.segment_hash);
  out.Varint(takeover.txid);
  if (new_base) out.U8(PageSizeLog2(takeover.page_size));
  out.U64(Hash(out.bytes()));
  return out.Take();
}

Result<LogHeader> ParseLogHeader(Bytes data, size_t* consumed) {
  ByteReader in(data);
  uint32_t magic = in.U32();
  uint8_t version = in.U8();
  if (!in.ok() || magic != kMagic) return Corrupt(kWhat, "not one of Backstay's");
  // Before the hash: a newer version may arrange what follows in another way.
  BACKSTAY_TRY(CheckVersion(kWhat, version));
  uint8_t kind = in.U8();
  LogHeader header;
  header.epoch = in.Varint();
  header.number = in.Varint();
  header.segments = in.Varint();
  size_t hashed = in.position();
  uint32_t hash = in.U32();
  if (!in.ok() || hash != static_cast<uint32_t>(Hash(data.first(hashed)))) {
    return Corrupt(kWhat, "the hash does not match the header");
  }
  header.kind = static_cast<LogKind>(kind);
  if (kind < 1 || kind > 3 || version != FormatVersionOf(header.kind)) {
    return Corrupt(kWhat, "unknown kind " + std::to_string(kind));
  }
  if (header.number == 0) return Corrupt(kWhat, "number 0");
  if ((header.segments == 0) != IsTakeover(header.kind)) {
    return Corrupt(kWhat, "kind and segment count disagree");
  }
  *consumed = in.position();
  return header;
}

Result<LogObject> WalkLogObject(Bytes data, uint64_t number,
                                const std::function<void(const Segment&)>& take) {
  size_t consumed = 0;
  Result<LogHeader> header = ParseLogHeader(data, &consumed);
  if (!header.ok()) return header.status();
  if (header->number != number) {
    return Corrupt(kWhat, "is number " + std::to_string(header->number) + " but stored as " +
                              std::to_string(number));
  }
  LogObject object;
  object.header = *header;
  if (header->kind == LogKind::kSegments) {
    Result<uint64_t> count = ParseSegments(data.subspan(consumed), take);
    if (!count.ok()) return count.status();
    if (*count == header->segments) return object;
    return Corrupt(kWhat, "has other segments than its header says");
  }
  Result<Takeover> takeover = ParseTakeover(data, consumed, header->kind);
  if (!takeover.ok()) return takeover.status();
  object.takeover = *takeover;
  return object;
}

Result<LogObject> ParseLogObject(Bytes data, uint64_t number) {
  std::vector<Segment> segments;
  Result<LogObject> object =
      WalkLogObject(data, number, [&](const Segment& one) { segments.push_back(one); });
  if (object.ok()) object->segments = std::move(segments);
  return object;
}

}  // namespace backstay
