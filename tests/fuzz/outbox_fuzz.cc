// An outbox that a process left behind, as it is and with the hashes of its records made right; and
// the payload of a segment record.

#include <unistd.h>

#include "tests/fuzz/fixup.h"
#include "uploader/base/file.h"
#include "uploader/state/outbox.h"

namespace backstay {
namespace {

void FixRecords(std::string* text) {
  for (size_t begin = 0; begin + 9 <= text->size();) {
    const uint64_t length = LoadLe32(MutableBytes(text) + begin);
    const uint64_t end = begin + 5 + length + 4;
    if (end > text->size()) return;
    const uint64_t hash = Hash(AsBytes(*text).subspan(begin + 4, 1 + length));
    StoreLe32(MutableBytes(text) + end - 4, static_cast<uint32_t>(hash));
    begin = end;
  }
}

void TryFile(const std::string& content) {
  const std::string path = "/dev/shm/backstay-outbox-fuzz-" + std::to_string(getpid());
  Require(WriteFileAtomic(path, content, false).ok());
  size_t segments = 0;
  {
    Outbox outbox(path);
    const OutboxRedo redo = {[&](const EncodedSegment&) { ++segments; }, [](const ShipState&) {},
                             [](const FileStamp&) {}};
    Require(outbox.Open(redo).ok());
    Require(outbox.file_bytes() <= content.size());
    for (const Outbox::Pending& pending : outbox.pending()) {
      Require(outbox.ReadSegment(pending).ok());
    }
    Require(outbox.Compact().ok());
    Require(outbox.pending().size() <= segments);
  }
  unlink(path.c_str());
}

void TryPayload(Bytes payload) {
  size_t used = 0;
  Result<EncodedSegment> encoded = ParseOutboxSegment(payload, &used);
  if (!encoded.ok()) return;
  Require(used <= payload.size());
  // What is read can be written, and reads the same.
  const std::string again = EncodeOutboxSegment(*encoded);
  Result<EncodedSegment> second = ParseOutboxSegment(AsBytes(again), &used);
  Require(second.ok() && used == again.size() && EncodeOutboxSegment(*second) == again);
}

}  // namespace
}  // namespace backstay

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  backstay::TryPayload(backstay::Bytes(data, size));
  std::string content = backstay::AsText(data, size);
  backstay::TryFile(content);
  backstay::FixRecords(&content);
  backstay::TryFile(content);
  return 0;
}
