#include "uploader/format/segment.h"

#include <algorithm>
#include <limits>

#include "uploader/base/hash.h"
#include "uploader/format/checks.h"

namespace backstay {
namespace {

constexpr uint32_t kFrameBytes = 1 << 20;
constexpr uint32_t kMaxFramePages = 256;
constexpr uint8_t kAllFlags = kSegmentMore | kSegmentChecksum | kSegmentRepair;
constexpr size_t kHashBytes = 8;
// Transaction numbers stay below 2^62, so that sums of two cannot wrap.
constexpr uint64_t kMaxTxid = uint64_t{1} << 62;

Status Bad(const std::string& detail) { return Corrupt("segment", detail); }

}  // namespace

uint32_t FramePages(uint32_t page_size) {
  return page_size == 0 ? 1 : std::clamp<uint32_t>(kFrameBytes / page_size, 1, kMaxFramePages);
}

uint32_t LockBytePage(uint32_t page_size) {
  return page_size == 0 ? 0 : (uint32_t{1} << 30) / page_size + 1;
}

// Reads the body of a segment whose hash is known to be right; what it says is still not trusted.
struct Segment::Parser {
  Parser(Bytes body, Segment* segment) : in(body), out(segment) {}

  Status Header();
  Status Steps();
  Status Entries(SegmentStep* step, uint64_t count);
  Status AddEntry(SegmentStep* step, uint32_t pgno, EntryKind kind);
  Status ReadFrame(Frame* frame);
  Status Frames();

  ByteReader in;
  Segment* out;
  uint64_t step_count = 0;
  int64_t time_ms = 0;
  uint64_t txid = 0;                  // after the steps so far
  uint64_t entries = 0;               // so far
  std::vector<uint32_t> whole_pages;  // with a whole image in the frame of the next entry
};

Status Segment::Parser::Header() {
  SegmentHeader& header = out->header_;
  header.flags = in.U8();
  header.page_size = ReadPageSize(&in);
  header.number = in.Varint();
  header.first_txid = in.VarintMax(kMaxTxid);
  time_ms = ReadTime(&in);
  header.previous_hash = in.U64();
  header.checksum = in.U64();
  out->pages_hash_ = in.U64();
  step_count = in.VarintMax(kMaxSegmentSteps);
  if (!in.ok()) return Bad("bad header");
  if ((header.flags & ~kAllFlags) != 0) return Bad("unknown flags");
  if (header.number == 0) return Bad("number 0");
  if (header.first_txid == 0) return Bad("transaction number 0");
  if ((header.flags & kSegmentChecksum) == 0 && header.checksum != 0) return Bad("stray checksum");
  if (step_count == 0) return Bad("no steps");
  txid = header.first_txid - 1;
  return Status::Ok();
}

Status Segment::Parser::AddEntry(SegmentStep* step, uint32_t pgno, EntryKind kind) {
  if (pgno == LockBytePage(out->header_.page_size)) return Bad("holds the lock-byte page");
  if (out->frames_.empty() || out->frames_.back().entries == FramePages(out->header_.page_size)) {
    out->frames_.emplace_back();
    whole_pages.clear();
  }
  Frame* frame = &out->frames_.back();
  const bool again = std::find(whole_pages.begin(), whole_pages.end(), pgno) != whole_pages.end();
  if (kind == EntryKind::kBased && again) {
    return Bad("a page is based twice on one frame");
  }
  if (kind != EntryKind::kPatched) {
    whole_pages.push_back(pgno);
    ++frame->images;
  }
  ++frame->entries;
  step->entries.push_back({pgno, kind});
  return Status::Ok();
}

Status Segment::Parser::Entries(SegmentStep* step, uint64_t count) {
  entries += count;
  if (count > in.remaining() || entries > kMaxSegmentFrames * FramePages(out->header_.page_size)) {
    return Bad("too many entries");
  }
  step->entries.reserve(count);
  uint64_t pgno = 0;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t entry = in.VarintMax(uint64_t{kMaxPageNumber} * 4);
    pgno += entry / 4 + 1;
    if (!in.ok() || pgno > kMaxPageNumber || entry % 4 == 3) return Bad("bad entry");
    BACKSTAY_TRY(AddEntry(step, static_cast<uint32_t>(pgno), static_cast<EntryKind>(entry % 4)));
  }
  return Status::Ok();
}

Status Segment::Parser::Steps() {
  for (uint64_t i = 0; i < step_count; ++i) {
    SegmentStep step;
    step.transactions = in.VarintMax(kMaxTxid);
    int64_t passed_ms = ReadTime(&in);
    step.pages = static_cast<uint32_t>(in.VarintMax(kMaxPageNumber));
    uint64_t count = in.Varint();
    txid += step.transactions;
    if (!in.ok() || step.pages == 0 || txid > kMaxTxid) return Bad("bad step");
    if (passed_ms > std::numeric_limits<int64_t>::max() - time_ms) return Bad("bad time");
    if (i == 0 && passed_ms != 0) return Bad("the first step has no previous one");
    time_ms += passed_ms;
    step.time_ms = time_ms;
    bool unfinished = i + 1 == step_count && out->more();
    if ((step.transactions == 0) != unfinished) return Bad("flags and steps disagree");
    BACKSTAY_TRY(Entries(&step, count));
    out->steps_.push_back(std::move(step));
  }
  return Status::Ok();
}

Status Segment::Parser::ReadFrame(Frame* frame) {
  const uint64_t patched = frame->entries - frame->images;
  frame->patch_bytes = in.VarintMax(patched * out->header_.page_size);
  frame->zstd = in.Raw(in.Varint());
  if (!in.ok() || frame->zstd.empty()) return Bad("bad frame length");
  return frame->patch_bytes < patched ? Bad("patches are missing") : Status::Ok();
}

Status Segment::Parser::Frames() {
  for (Frame& frame : out->frames_) BACKSTAY_TRY(ReadFrame(&frame));
  if (in.remaining() != 0) return Bad("bytes after the last frame");
  if (out->frames_.empty() && out->pages_hash_ != Hash({})) return Bad("stray pages hash");
  return Status::Ok();
}

Result<Segment> Segment::Parse(Bytes data, size_t* consumed) {
  ByteReader in(data);
  uint64_t length = in.VarintMax(kMaxSegmentBytes);
  size_t prefix = in.position();
  if (!in.ok() || length < kHashBytes || length > in.remaining()) return Bad("cut off");
  size_t hashed = prefix + length - kHashBytes;
  Segment segment;
  segment.hash_ = LoadLe64(data.data() + hashed);
  if (Hash(data.first(hashed)) != segment.hash_) return Bad("the hash does not match the bytes");
  Parser parser(data.subspan(prefix, length - kHashBytes), &segment);
  BACKSTAY_TRY(parser.Header());
  BACKSTAY_TRY(parser.Steps());
  BACKSTAY_TRY(parser.Frames());
  *consumed = prefix + length;
  return segment;
}

uint64_t Segment::transactions() const {
  uint64_t sum = 0;
  for (const SegmentStep& step : steps_) sum += step.transactions;
  return sum;
}

}  // namespace backstay
