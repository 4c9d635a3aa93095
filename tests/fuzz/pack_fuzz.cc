// The end of a pack, from its index on, as it is and with the trailer's hash, offset and magic made
// right.

#include "tests/fuzz/fixup.h"
#include "uploader/format/pack.h"

namespace backstay {
namespace {

constexpr size_t kTrailerBytes = 21;

void TryOffset(Bytes tail, uint64_t pack_size) {
  Result<uint64_t> offset = PackIndexOffset(tail, pack_size);
  Require(!offset.ok() || *offset < pack_size);
}

void TryIndex(Bytes end, uint64_t pack_size) {
  Result<std::vector<PackedObject>> index = ParsePackIndex(end, pack_size);
  if (!index.ok()) return;
  uint64_t next = 5;
  for (const PackedObject& object : *index) {
    Require(object.offset == next && object.length > 0);
    next += object.length;
    for (const SegmentInfo& info : object.segments) {
      Require(info.last_time_ms >= info.first_time_ms && info.last_txid() + 1 >= info.first_txid);
    }
  }
  Require(next == pack_size - end.size());
}

}  // namespace
}  // namespace backstay

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace backstay;  // NOLINT: the one function of this file
  const Bytes raw(data, size);
  TryOffset(raw, size);
  TryIndex(raw, size);
  if (size < kTrailerBytes) return 0;
  // The offset that the input claims decides how long the pack is.
  const uint64_t pack_size = LoadLe64(data + size - kTrailerBytes) + size;
  std::string fixed = AsText(data, size);
  FixHash(&fixed, 0, size - 4);
  fixed.replace(size - 4, 4, "BKPK");
  TryOffset(AsBytes(fixed), pack_size);
  TryIndex(AsBytes(fixed), pack_size);
  return 0;
}
