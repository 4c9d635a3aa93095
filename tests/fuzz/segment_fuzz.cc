// A segment without its length and hash, which are put around it; then the same bytes as they are.

#include "tests/fuzz/fixup.h"
#include "uploader/format/segment.h"

namespace backstay {
namespace {

void CheckParsed(const Segment& segment) {
  const uint32_t page_size = segment.header().page_size;
  Require(page_size >= 512 && page_size <= 65536 && !segment.steps().empty());
  size_t entries = 0;
  for (const SegmentStep& step : segment.steps()) {
    Require(step.pages > 0 && step.time_ms >= 0);
    uint32_t previous = 0;
    for (const SegmentEntry& entry : step.entries) {
      Require(entry.pgno > previous && entry.pgno != LockBytePage(page_size));
      previous = entry.pgno;
    }
    entries += step.entries.size();
  }
  Require(entries <= kMaxSegmentFrames * FramePages(page_size));
  Require(segment.last_txid() >= segment.header().first_txid - 1);
  size_t sunk = 0;
  Status applied = segment.Apply(
      [&](uint32_t pgno, uint8_t* out) {
        std::fill_n(out, page_size, static_cast<uint8_t>(pgno));
        return Status::Ok();
      },
      [&](size_t step, uint32_t, Bytes image, uint64_t) {
        Require(step < segment.steps().size() && image.size() == page_size && sunk < entries);
        ++sunk;
        return Status::Ok();
      });
  Require(!applied.ok() || sunk == entries);
}

void Try(Bytes bytes) {
  size_t consumed = 0;
  Result<Segment> segment = Segment::Parse(bytes, &consumed);
  if (!segment.ok()) return;
  Require(consumed <= bytes.size());
  CheckParsed(*segment);
}

}  // namespace
}  // namespace backstay

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  backstay::ByteWriter whole;
  whole.Varint(size + 8);
  whole.Raw(backstay::Bytes(data, size));
  whole.U64(backstay::Hash(whole.bytes()));
  backstay::Try(whole.bytes());
  backstay::Try(backstay::Bytes(data, size));
  return 0;
}
