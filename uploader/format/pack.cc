#include "uploader/format/pack.h"

#include <algorithm>
#include <limits>

#include "uploader/base/hash.h"
#include "uploader/format/checks.h"

namespace backstay {
namespace {

constexpr uint32_t kMagic = 0x4b504b42;  // "BKPK"
constexpr uint64_t kHeadBytes = 4 + 1;
constexpr size_t kTrailerBytes = 8 + 1 + 8 + 4;  // offset, version, hash, magic
constexpr uint64_t kMaxTxid = uint64_t{1} << 62;
constexpr uint8_t kAllFlags = kSegmentMore | kSegmentChecksum | kSegmentRepair;
constexpr const char* kWhat = "pack";

void WriteInfo(const SegmentInfo& info, ByteWriter* out) {
  out->Varint(info.number);
  out->Varint(info.first_txid);
  out->Varint(info.transactions);
  out->U8(info.flags);
  out->Varint(static_cast<uint64_t>(info.first_time_ms));
  out->Varint(static_cast<uint64_t>(info.last_time_ms - info.first_time_ms));
}

SegmentInfo ReadInfo(ByteReader* in) {
  SegmentInfo info;
  info.number = in->Varint();
  info.first_txid = in->VarintMax(kMaxTxid);
  info.transactions = in->VarintMax(kMaxTxid);
  info.flags = in->U8();
  info.first_time_ms = ReadTime(in);
  int64_t passed_ms = ReadTime(in);
  bool wraps = passed_ms > std::numeric_limits<int64_t>::max() - info.first_time_ms;
  if (wraps || info.number == 0 || info.first_txid == 0 || (info.flags & ~kAllFlags) != 0) {
    in->Fail();
    return {};
  }
  info.last_time_ms = info.first_time_ms + passed_ms;
  return info;
}

void ReadInfos(ByteReader* in, PackedObject* object) {
  uint64_t count = in->VarintMax(in->remaining());
  // Segments objects have some, takeover objects none.
  if ((count > 0) != (object->header.kind == LogKind::kSegments)) in->Fail();
  for (uint64_t i = 0; i < count && in->ok(); ++i) {
    object->segments.push_back(ReadInfo(in));
    if (object->segments.back().number != object->segments.front().number + i) in->Fail();
  }
}

PackedObject ReadObject(ByteReader* in, uint8_t version, uint64_t offset, uint64_t end) {
  PackedObject object;
  object.header.number = in->Varint();
  object.offset = offset;
  object.length = in->VarintMax(end - offset);
  object.header.epoch = in->Varint();
  uint8_t kind = in->U8();
  object.header.kind = static_cast<LogKind>(kind);
  if (kind < 1 || kind > 3 || version < FormatVersionOf(object.header.kind)) in->Fail();
  if (object.header.number == 0 || object.length == 0) in->Fail();
  ReadInfos(in, &object);
  return object;
}

uint8_t VersionField(Bytes tail) { return tail[tail.size() - kTrailerBytes + 8]; }

// The magic and the version at the very end, which come before anything else is believed.
Status CheckEnd(Bytes tail) {
  if (tail.size() < kTrailerBytes || LoadLe32(tail.data() + tail.size() - 4) != kMagic) {
    return Corrupt(kWhat, "not one of Backstay's, or cut off");
  }
  return CheckVersion(kWhat, VersionField(tail));
}

uint64_t OffsetField(Bytes tail) { return LoadLe64(tail.data() + tail.size() - kTrailerBytes); }

}  // namespace

SegmentInfo InfoOf(const Segment& segment) {
  SegmentInfo info;
  info.number = segment.header().number;
  info.first_txid = segment.header().first_txid;
  info.transactions = segment.transactions();
  info.flags = segment.header().flags;
  info.first_time_ms = segment.steps().front().time_ms;
  info.last_time_ms = segment.steps().back().time_ms;
  return info;
}

PackWriter::PackWriter(const DatabaseId& id, size_t bytes) : id_(id) {
  out_.Reserve(bytes);
  out_.U32(kMagic);
  out_.U8(kFirstFormatVersion);
}

Status PackWriter::Add(Bytes object, uint64_t number) {
  if (index_.size() >= kMaxPackObjects) return {Code::kInvalid, "pack: too many objects"};
  if (!index_.empty() && number != index_.back().header.number + 1) {
    return {Code::kInvalid, "pack: object " + std::to_string(number) + " does not follow " +
                                std::to_string(index_.back().header.number)};
  }
  PackedObject packed;
  Result<LogObject> parsed = WalkLogObject(
      object, number, [&](const Segment& one) { packed.segments.push_back(InfoOf(one)); });
  if (!parsed.ok()) return parsed.status().Wrap(kWhat);
  packed.header = parsed->header;
  packed.offset = out_.size();
  packed.length = object.size();
  index_.push_back(std::move(packed));
  out_.Raw(object);
  return Status::Ok();
}

std::string PackWriter::Finish() {
  if (index_.empty()) return {};
  uint64_t offset = out_.size();
  uint8_t version = kFirstFormatVersion;
  ByteWriter end;
  end.Raw(Bytes(id_));
  end.Varint(index_.size());
  for (const PackedObject& object : index_) {
    version = std::max(version, FormatVersionOf(object.header.kind));
    end.Varint(object.header.number);
    end.Varint(object.length);
    end.Varint(object.header.epoch);
    end.U8(static_cast<uint8_t>(object.header.kind));
    end.Varint(object.segments.size());
    for (const SegmentInfo& info : object.segments) WriteInfo(info, &end);
  }
  end.U64(offset);
  end.U8(version);
  end.U64(Hash(end.bytes()));
  end.U32(kMagic);
  index_.clear();
  out_.Raw(end.bytes());
  return out_.Take();
}

Result<uint64_t> PackIndexOffset(Bytes tail, uint64_t pack_size) {
  BACKSTAY_TRY(CheckEnd(tail));
  uint64_t offset = OffsetField(tail);
  if (pack_size < tail.size() || offset <= kHeadBytes || offset >= pack_size - kTrailerBytes) {
    return Corrupt(kWhat, "the index is not where it should be");
  }
  return offset;
}

Result<std::vector<PackedObject>> ParsePackIndex(Bytes end, uint64_t pack_size, DatabaseId* id) {
  BACKSTAY_TRY(CheckEnd(end));
  BACKSTAY_TRY(CheckTrailingHash(kWhat, end.first(end.size() - 4)));
  uint64_t offset = OffsetField(end);
  if (pack_size < end.size() || offset != pack_size - end.size() || offset <= kHeadBytes) {
    return Corrupt(kWhat, "the index is not where it should be");
  }
  ByteReader in(end.first(end.size() - kTrailerBytes));
  Bytes id_bytes = in.Raw(DatabaseId().size());
  uint64_t count = in.VarintMax(std::min<uint64_t>(kMaxPackObjects, in.remaining()));
  std::vector<PackedObject> index;
  uint64_t next = kHeadBytes;
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    index.push_back(ReadObject(&in, VersionField(end), next, offset));
    next += index.back().length;
    if (index.back().header.number != index.front().header.number + i) in.Fail();
  }
  if (!in.ok() || in.remaining() != 0 || count == 0) return Corrupt(kWhat, "bad index");
  if (next != offset) return Corrupt(kWhat, "the objects do not fill the pack");
  if (id != nullptr) std::copy(id_bytes.begin(), id_bytes.end(), id->begin());
  return index;
}

}  // namespace backstay
