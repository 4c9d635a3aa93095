#include "uploader/replica/segment_apply.h"

#include <cstring>
#include <utility>

namespace backstay {
namespace {

Status Corrupt(const Segment& segment, const std::string& what) {
  return {Code::kCorrupt, "segment " + std::to_string(segment.header().number) + ": " + what};
}

}  // namespace

SegmentApply::SegmentApply(const RestorePlan& plan, DatabaseImage* image)
    : plan_(plan),
      image_(image),
      number_(plan.snapshot.segment_number),
      hash_(plan.snapshot.segment_hash),
      txid_(plan.snapshot.start_txid) {}

Status SegmentApply::CheckChain(const Segment& segment) const {
  if (segment.header().number != number_ + 1 || segment.header().previous_hash != hash_) {
    return Corrupt(segment, "does not follow segment " + std::to_string(number_));
  }
  if (segment.header().page_size != plan_.snapshot.page_size) {
    return Corrupt(segment, "has another page size than the snapshot");
  }
  return Status::Ok();
}

Status SegmentApply::CheckTakeover(const Takeover& takeover) const {
  if (takeover.database_id == plan_.identity.id && takeover.segment_number == number_ &&
      takeover.segment_hash == hash_) {
    return Status::Ok();
  }
  return {Code::kCorrupt, "takeover from another end of the log"};
}

// Steps up to and including `stop` go into the image. Pages of later steps are bases for what
// follows in the segment; they stay in memory, at most 16 MiB, so that the result hash can be
// proven.
Status SegmentApply::ApplyPages(const Segment& segment, size_t stop) {
  std::map<uint32_t, std::string> later;
  size_t current = 0;
  auto finish_steps_before = [&](size_t step) -> Status {
    for (; current < step && current <= stop; ++current) {
      BACKSTAY_TRY(image_->Resize(segment.steps()[current].pages));
    }
    return Status::Ok();
  };
  auto base = [&](uint32_t pgno, uint8_t* out) -> Status {
    auto found = later.find(pgno);
    if (found == later.end()) return image_->ReadPage(pgno, out);
    std::memcpy(out, found->second.data(), found->second.size());
    return Status::Ok();
  };
  auto sink = [&](size_t step, uint32_t pgno, Bytes image, uint64_t hash) -> Status {
    BACKSTAY_TRY(finish_steps_before(step));
    if (step <= stop) return image_->WritePage(pgno, image, hash);
    later[pgno].assign(AsString(image));
    return Status::Ok();
  };
  BACKSTAY_TRY(segment.Apply(base, sink, &decoder_));
  return finish_steps_before(segment.steps().size());
}

Status SegmentApply::CheckChecksum(const Segment& segment) {
  const bool committed = !segment.more() && txid_ >= plan_.snapshot.consistent_txid;
  proven_ = committed && segment.has_checksum();
  if (!proven_ || image_->Checksum() == segment.header().checksum) return Status::Ok();
  return Corrupt(segment, "the database checksum does not match after it");
}

Status SegmentApply::ApplySegment(const Segment& segment) {
  const bool last = segment.header().number == plan_.last_segment;
  const size_t steps = segment.steps().size();
  const size_t stop = last && plan_.stop_step ? *plan_.stop_step : steps - 1;
  if (stop >= steps) return Corrupt(segment, "has fewer steps than planned");
  Status applied = ApplyPages(segment, stop);
  if (applied.code() == Code::kCorrupt) {
    return applied.Wrap("segment " + std::to_string(segment.header().number) +
                        " (what lies before it can be asked for with -txid " +
                        std::to_string(segment.header().first_txid - 1) + ")");
  }
  BACKSTAY_TRY(applied);
  number_ = segment.header().number;
  hash_ = segment.hash();
  stopped_ = stop + 1 < steps;
  if (stopped_) return Status::Ok();
  txid_ = segment.last_txid();
  return CheckChecksum(segment);
}

Status SegmentApply::Apply(const LogObject& object) {
  if (IsTakeover(object.header.kind)) return CheckTakeover(object.takeover);
  for (const Segment& segment : object.segments) {
    const uint64_t number = segment.header().number;
    if (number > plan_.last_segment || number <= plan_.snapshot.segment_number) continue;
    BACKSTAY_TRY(CheckChain(segment));
    BACKSTAY_TRY(ApplySegment(segment));
  }
  return Status::Ok();
}

Status SegmentApply::Finish() const {
  const bool all = plan_.last_segment == 0 || number_ == plan_.last_segment;
  if (all) return Status::Ok();
  return {Code::kCorrupt, "the log ends at segment " + std::to_string(number_) + ", not at " +
                              std::to_string(plan_.last_segment)};
}

}  // namespace backstay
