#include <algorithm>

#include "uploader/base/hash.h"
#include "uploader/format/checks.h"
#include "uploader/format/frame_builder.h"
#include "uploader/format/segment.h"

namespace backstay {

struct SegmentWriter::Impl {
  void Fail(const std::string& detail) {
    if (status.ok()) status = Status(Code::kInvalid, "segment writer: " + detail);
  }
  Status CheckAdd(uint32_t pgno) const;
  std::string Encode(const SegmentHeader& header) const;
  void EncodeSteps(ByteWriter* out) const;

  FrameBuilder frame;
  Status status{Code::kInvalid, "segment writer: not begun"};
  uint32_t page_size = 0;
  bool in_step = false;
  uint32_t entries = 0;
  std::vector<SegmentStep> steps;
  ByteWriter frames;  // finished ones
};

Status SegmentWriter::Impl::CheckAdd(uint32_t pgno) const {
  auto invalid = [pgno](const char* why) {
    return Status(Code::kInvalid, "segment writer: page " + std::to_string(pgno) + ": " + why);
  };
  if (!in_step) return invalid("no step was begun");
  if (pgno == 0 || pgno > kMaxPageNumber) return invalid("no such page number");
  if (pgno == LockBytePage(page_size)) return invalid("the lock-byte page is never shipped");
  const std::vector<SegmentEntry>& added = steps.back().entries;
  if (!added.empty() && added.back().pgno >= pgno) return invalid("not in ascending order");
  if (entries >= kMaxSegmentFrames * FramePages(page_size)) return invalid("the segment is full");
  return Status::Ok();
}

void SegmentWriter::Impl::EncodeSteps(ByteWriter* out) const {
  out->Varint(steps.size());
  int64_t previous_time = steps.front().time_ms;
  for (const SegmentStep& step : steps) {
    out->Varint(step.transactions);
    out->Varint(static_cast<uint64_t>(step.time_ms - previous_time));
    out->Varint(step.pages);
    out->Varint(step.entries.size());
    uint32_t previous = 0;
    for (const SegmentEntry& entry : step.entries) {
      out->Varint(uint64_t{entry.pgno - previous - 1} * 4 + static_cast<uint64_t>(entry.kind));
      previous = entry.pgno;
    }
    previous_time = step.time_ms;
  }
}

std::string SegmentWriter::Impl::Encode(const SegmentHeader& header) const {
  ByteWriter body;
  body.U8(header.flags);
  body.U8(PageSizeLog2(page_size));
  body.Varint(header.number);
  body.Varint(header.first_txid);
  body.Varint(static_cast<uint64_t>(steps.front().time_ms));
  body.U64(header.previous_hash);
  body.U64((header.flags & kSegmentChecksum) != 0 ? header.checksum : 0);
  body.U64(frame.pages_hash());
  EncodeSteps(&body);
  ByteWriter out;
  out.Varint(body.size() + frames.size() + 8);
  out.Raw(body.bytes());
  out.Raw(frames.bytes());
  out.U64(Hash(out.bytes()));
  return out.Take();
}

SegmentWriter::SegmentWriter() : impl_(std::make_unique<Impl>()) {}
SegmentWriter::~SegmentWriter() = default;

void SegmentWriter::Begin(uint32_t page_size) {
  Impl& w = *impl_;
  w.status = Status::Ok();
  w.page_size = page_size;
  w.in_step = false;
  w.entries = 0;
  w.frame.Begin(page_size);
  w.steps.clear();
  w.frames.Clear();
  if (!ValidPageSize(page_size)) w.Fail("page size " + std::to_string(page_size));
}

void SegmentWriter::BeginStep(uint64_t transactions, int64_t time_ms) {
  Impl& w = *impl_;
  if (!w.status.ok()) return;
  if (w.in_step) return w.Fail("the previous step has no end");
  if (w.steps.size() >= kMaxSegmentSteps) return w.Fail("too many steps");
  if (!w.steps.empty() && w.steps.back().transactions == 0) {
    return w.Fail("a step follows the unfinished transaction");
  }
  int64_t least = w.steps.empty() ? 0 : w.steps.back().time_ms;
  w.in_step = true;
  w.steps.push_back({transactions, std::max(time_ms, least), 0, {}});
}

Status SegmentWriter::Add(uint32_t pgno, const PageVersion& now, const PageVersion& old) {
  Impl& w = *impl_;
  if (w.status.ok()) w.status = w.CheckAdd(pgno);
  BACKSTAY_TRY(w.status);
  w.steps.back().entries.push_back({pgno, w.frame.Add(pgno, now, old)});
  ++w.entries;
  if (w.frame.full()) w.status = w.frame.Flush(&w.frames);
  return w.status;
}

void SegmentWriter::EndStep(uint32_t pages) {
  Impl& w = *impl_;
  if (!w.status.ok()) return;
  if (!w.in_step) return w.Fail("no step was begun");
  if (pages == 0 || pages > kMaxPageNumber) return w.Fail("a database has at least one page");
  w.steps.back().pages = pages;
  w.in_step = false;
}

uint32_t SegmentWriter::Room() const {
  const Impl& w = *impl_;
  if (!w.status.ok() || (!w.in_step && w.steps.size() >= kMaxSegmentSteps)) return 0;
  return kMaxSegmentFrames * FramePages(w.page_size) - w.entries;
}

bool SegmentWriter::InFrame(uint32_t pgno) const { return impl_->frame.Holds(pgno); }

uint32_t SegmentWriter::entries() const { return impl_->entries; }

Result<std::string> SegmentWriter::Finish(const SegmentHeader& header) {
  Impl& w = *impl_;
  if (w.status.ok() && (w.in_step || w.steps.empty())) w.Fail("no finished step");
  if (w.status.ok() && header.page_size != w.page_size) w.Fail("header of another page size");
  if (w.status.ok()) w.status = w.frame.Flush(&w.frames);
  BACKSTAY_TRY(w.status);
  w.status = Status(Code::kInvalid, "segment writer: not begun");
  std::string bytes = w.Encode(header);
  // The reader's own rules judge what the caller put in the header.
  size_t consumed = 0;
  Result<Segment> parsed = Segment::Parse(AsBytes(bytes), &consumed);
  if (!parsed.ok()) return Status(Code::kInvalid, parsed.error().message()).Wrap("segment writer");
  return bytes;
}

}  // namespace backstay
