#include "uploader/format/segment.h"

#include <algorithm>
#include <limits>

#include "uploader/base/hash.h"
#include "uploader/format/checks.h"
#include "uploader/format/frame_codec.h"

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
  Status AddEntry(SegmentStep* step, uint32_t pgno, bool based);
  Status Frames();

  ByteReader in;
  Segment* out;
  uint64_t step_count = 0;
  int64_t time_ms = 0;
  uint64_t txid = 0;     // after the steps so far
  uint64_t entries = 0;  // so far
  bool any_base = false;
  std::vector<uint32_t> frame_pages;  // of the frame that the next entry belongs to
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
  out->base_hash_ = in.U64();
  out->result_hash_ = in.U64();
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

Status Segment::Parser::AddEntry(SegmentStep* step, uint32_t pgno, bool based) {
  if (pgno == LockBytePage(out->header_.page_size)) return Bad("holds the lock-byte page");
  if (based && std::find(frame_pages.begin(), frame_pages.end(), pgno) != frame_pages.end()) {
    return Bad("a page is based twice on one frame");
  }
  step->entries.push_back({pgno, based});
  frame_pages.push_back(pgno);
  if (frame_pages.size() == FramePages(out->header_.page_size)) frame_pages.clear();
  any_base = any_base || based;
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
    uint64_t entry = in.VarintMax(uint64_t{kMaxPageNumber} * 2);
    pgno += entry / 2 + 1;
    if (!in.ok() || pgno > kMaxPageNumber) return Bad("bad entry");
    BACKSTAY_TRY(AddEntry(step, static_cast<uint32_t>(pgno), entry % 2 == 1));
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

Status Segment::Parser::Frames() {
  uint32_t frame_entries = FramePages(out->header_.page_size);
  uint64_t count = (entries + frame_entries - 1) / frame_entries;
  for (uint64_t i = 0; i < count; ++i) {
    Bytes frame = in.Raw(in.Varint());
    if (!in.ok() || frame.empty()) return Bad("bad frame length");
    out->frames_.push_back(frame);
  }
  if (in.remaining() != 0) return Bad("bytes after the last frame");
  if (!any_base && out->base_hash_ != 0) return Bad("stray base hash");
  if (count == 0 && out->result_hash_ != Hash({})) return Bad("stray result hash");
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

namespace {

struct FlatEntry {
  size_t step;
  SegmentEntry entry;
};

std::vector<FlatEntry> Flatten(const std::vector<SegmentStep>& steps) {
  std::vector<FlatEntry> flat;
  for (size_t i = 0; i < steps.size(); ++i) {
    for (const SegmentEntry& entry : steps[i].entries) flat.push_back({i, entry});
  }
  return flat;
}

Status ReadPrefix(std::span<const FlatEntry> entries, uint32_t page_size,
                  const Segment::BaseReader& base, std::vector<uint8_t>* prefix) {
  size_t size = 0;
  for (const FlatEntry& flat : entries) size += flat.entry.based ? page_size : 0;
  prefix->resize(size);
  uint8_t* next = prefix->data();
  for (const FlatEntry& flat : entries) {
    if (!flat.entry.based) continue;
    BACKSTAY_TRY(base(flat.entry.pgno, next));
    next += page_size;
  }
  return Status::Ok();
}

}  // namespace

Status Segment::CheckHashes(uint64_t base_hash, uint64_t result_hash) const {
  std::string what = "segment " + std::to_string(header_.number);
  if (base_hash != base_hash_) return Corrupt(what, "the old pages are not those it was made from");
  if (result_hash != result_hash_) return Corrupt(what, "the pages do not match their hash");
  return Status::Ok();
}

Status Segment::Apply(const BaseReader& base, const PageSink& sink, FrameDecoder* decoder) const {
  std::unique_ptr<FrameDecoder> own;
  if (decoder == nullptr) decoder = (own = std::make_unique<FrameDecoder>()).get();
  const std::vector<FlatEntry> flat = Flatten(steps_);
  std::span<const FlatEntry> left(flat);
  const uint32_t page_size = header_.page_size;
  Hasher bases;
  Hasher results;
  bool any_base = false;
  for (Bytes frame : frames_) {
    auto entries = left.first(std::min<size_t>(left.size(), FramePages(page_size)));
    left = left.subspan(entries.size());
    BACKSTAY_TRY(ReadPrefix(entries, page_size, base, &decoder->prefix));
    std::vector<uint8_t>& images = decoder->images;
    images.resize(entries.size() * page_size);
    bases.Update(decoder->prefix);
    any_base = any_base || !decoder->prefix.empty();
    // A wrong base usually shows here first: the frame then refers to bytes that are not there.
    Status decoded = decoder->Decode(decoder->prefix, frame, images.data(), images.size());
    if (!decoded.ok()) return decoded.Wrap("segment " + std::to_string(header_.number));
    results.Update(images);
    if (left.empty()) BACKSTAY_TRY(CheckHashes(any_base ? bases.Digest() : 0, results.Digest()));
    for (size_t i = 0; i < entries.size(); ++i) {
      BACKSTAY_TRY(sink(entries[i].step, entries[i].entry.pgno,
                        Bytes(images).subspan(i * page_size, page_size)));
    }
  }
  return Status::Ok();
}

}  // namespace backstay
