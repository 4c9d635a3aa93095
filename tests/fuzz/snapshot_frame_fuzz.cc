// A snapshot frame, as it is and with its hash made right.

#include "tests/fuzz/fixup.h"
#include "uploader/format/snapshot.h"

namespace backstay {
namespace {

void Try(Bytes bytes) {
  Result<SnapshotFrame> frame = DecodeSnapshotFrame(bytes);
  if (!frame.ok()) return;
  Require(frame->images.size() == frame->hashes.size() * frame->page_size);
  Require(frame->images.size() <= kSnapshotFrameBytes);
  std::vector<uint64_t> hashes;
  Result<std::string> again =
      EncodeSnapshotFrame(frame->page_size, frame->first_page, AsBytes(frame->images), &hashes);
  Require(again.ok() && hashes == frame->hashes);
}

}  // namespace
}  // namespace backstay

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  backstay::Try(backstay::Bytes(data, size));
  std::string fixed = backstay::AsText(data, size);
  backstay::FixHash(&fixed, 0, fixed.size());
  backstay::Try(backstay::AsBytes(fixed));
  return 0;
}
