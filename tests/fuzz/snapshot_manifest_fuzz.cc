// A snapshot manifest, as it is and with its hash made right.

#include "tests/fuzz/fixup.h"
#include "uploader/format/snapshot.h"

namespace backstay {
namespace {

void Try(Bytes bytes) {
  Result<SnapshotManifest> manifest = ParseSnapshotManifest(bytes);
  if (!manifest.ok()) return;
  // What is read can be written, and reads the same.
  Result<std::string> again = EncodeSnapshotManifest(*manifest);
  Require(again.ok());
  Result<SnapshotManifest> second = ParseSnapshotManifest(AsBytes(*again));
  Require(second.ok() && second->frame_bytes == manifest->frame_bytes);
  Require(second->pages == manifest->pages && second->nonce == manifest->nonce);
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
