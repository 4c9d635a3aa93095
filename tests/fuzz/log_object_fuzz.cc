// A log object, as it is and with the hashes of its header, segments or takeover record made right.

#include "tests/fuzz/fixup.h"
#include "uploader/format/log_object.h"

namespace backstay {
namespace {

uint64_t NumberIn(Bytes object) {
  ByteReader in(object);
  in.Raw(6);
  in.Varint();
  return in.Varint();
}

// Returns where the header ends.
size_t FixHeader(std::string* text) {
  ByteReader in(AsBytes(*text));
  in.Raw(6);
  for (int fields = 0; fields < 3; ++fields) in.Varint();  // epoch, number, segment count
  const size_t hashed = in.position();
  in.U32();
  if (!in.ok()) return text->size();
  StoreLe32(MutableBytes(text) + hashed, static_cast<uint32_t>(Hash(AsBytes(*text).first(hashed))));
  return in.position();
}

void Try(Bytes bytes) {
  const uint64_t number = NumberIn(bytes);
  Result<LogObject> object = ParseLogObject(bytes, number);
  if (!object.ok()) return;
  Require(object->header.number == number && number > 0);
  Require((object->header.kind == LogKind::kSegments) != object->segments.empty());
  Require(!ParseLogObject(bytes, number + 1).ok());
  if (IsTakeover(object->header.kind)) {
    const std::string again = EncodeTakeover(object->header.epoch, number, object->takeover);
    Require(ParseLogObject(AsBytes(again), number).ok());
  }
}

}  // namespace
}  // namespace backstay

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  backstay::Try(backstay::Bytes(data, size));
  std::string fixed = backstay::AsText(data, size);
  const size_t header = backstay::FixHeader(&fixed);
  if (size > 5 && backstay::IsTakeover(static_cast<backstay::LogKind>(data[5]))) {
    backstay::FixHash(&fixed, 0, fixed.size());
  } else {
    backstay::FixSegments(&fixed, header);
  }
  backstay::Try(backstay::AsBytes(fixed));
  return 0;
}
