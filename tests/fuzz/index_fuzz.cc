// The index file of a state folder, as it is and with its hash made right.

#include "tests/fuzz/fixup.h"
#include "uploader/state/index_file.h"

namespace backstay {
namespace {

void Try(Bytes bytes) {
  Result<IndexFile> index = ParseIndexFile(bytes);
  if (!index.ok()) return;
  // What is read can be written, and reads the same.
  const std::string again = EncodeIndexFile(*index);
  Result<IndexFile> second = ParseIndexFile(AsBytes(again));
  Require(second.ok() && second->hashes == index->hashes);
  Require(EncodeIndexFile(*second) == again);
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
