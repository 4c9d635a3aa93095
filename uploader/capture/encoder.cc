#include "uploader/capture/encoder.h"

#include <algorithm>
#include <utility>

#include "uploader/base/hash.h"

namespace backstay {

Encoder::Encoder(const Options& options)
    : options_(options), cache_(options.cache_bytes, options.page_size), base_(options.page_size) {}

PageVersion Encoder::OldOf(const PageImage& page) {
  const uint32_t pgno = page.pgno;
  uint64_t hash = options_.index->Get(pgno);
  // A reader fetches the pages that a frame leans on before it applies the frame: they must have
  // been there all along.
  const bool in_frame = writer_.InFrame(pgno);
  if (pgno > least_pages_ && !in_frame) return {};
  if (hash == 0 || (snapshot_ && !Touched(pgno))) return {};
  if (const uint8_t* cached = cache_.Get(pgno, hash)) return {cached, hash};
  if (in_frame) return {};  // not in any file yet
  if (page.old != nullptr) {
    const bool fits = PageHash(pgno, {page.old, options_.page_size}) == hash;
    return fits ? PageVersion{page.old, hash} : PageVersion{};
  }
  if (!options_.source->Find(pgno, hash, base_)) return {};
  return {base_.data(), hash};
}

Status Encoder::EncodePage(const PageImage& page, EncodedSegment* encoded) {
  const PageVersion old = OldOf(page);
  const PageVersion now{page.image, PageHash(page.pgno, {page.image, options_.page_size})};
  BACKSTAY_TRY(writer_.Add(page.pgno, now, old));
  encoded->hashes.emplace_back(page.pgno, 0);
  options_.index->Set(page.pgno, now.hash);
  cache_.Put(page.pgno, now.hash, page.image);
  if (snapshot_) {
    if (page.pgno > touched_.size()) touched_.resize(page.pgno, false);
    touched_[page.pgno - 1] = true;
  }
  ++pages_encoded_;
  pages_based_ += old.image != nullptr ? 1 : 0;
  return Status::Ok();
}

// Pages between the database's old end and the first written page are zeros. They count as changed:
// where this segment is never shipped, the replica may have older pages in their place.
void Encoder::Grow(const EncoderStep& step, EncodedSegment* encoded) {
  const uint32_t before = options_.index->pages();
  options_.index->GrowZeroed(step.pages, options_.page_size);
  auto written = step.images.begin();
  for (uint32_t pgno = before + 1; pgno <= step.pages; ++pgno) {
    while (written != step.images.end() && written->pgno < pgno) ++written;
    if (written != step.images.end() && written->pgno == pgno) continue;
    encoded->hashes.emplace_back(pgno, 0);
  }
}

Status Encoder::EncodeStep(const EncoderStep& step, EncodedSegment* encoded) {
  Grow(step, encoded);
  writer_.BeginStep(step.transactions, step.time_ms);
  for (const PageImage& page : step.images) BACKSTAY_TRY(EncodePage(page, encoded));
  writer_.EndStep(step.pages);
  options_.index->Resize(step.pages);
  // Replayed on a copy that still has them it cuts these pages off, too.
  if (step.pages < touched_.size()) {
    std::fill(touched_.begin() + step.pages, touched_.end(), true);
  }
  least_pages_ = std::min(least_pages_, step.pages);
  return Status::Ok();
}

Status Encoder::Encode(const std::vector<EncoderStep>& steps, bool repair, const WalMark& wal) {
  EncodedSegment encoded;
  writer_.Begin(options_.page_size);
  least_pages_ = options_.index->pages();
  Result<std::string> segment = [&]() -> Result<std::string> {
    for (const EncoderStep& step : steps) {
      if (Status status = EncodeStep(step, &encoded); !status.ok()) return status;
      encoded.head.txid += step.transactions;
    }
    bool more = steps.back().transactions == 0;
    bool checksum = !more && !first_snapshot_ && options_.index->unknown() == 0;
    SegmentHeader header;
    header.flags = static_cast<uint8_t>((more ? kSegmentMore : 0) | (repair ? kSegmentRepair : 0) |
                                        (checksum ? kSegmentChecksum : 0));
    header.page_size = options_.page_size;
    header.number = head_.segment_number + 1;
    header.first_txid = head_.txid + 1;
    header.previous_hash = head_.segment_hash;
    header.checksum = checksum ? options_.index->checksum() : 0;
    return writer_.Finish(header);
  }();
  if (!segment.ok()) {
    MakeUnknown(steps, encoded);
    return segment.status();
  }
  // The segment's hash is its last 8 bytes.
  uint64_t hash = LoadLe64(AsBytes(*segment).data() + segment->size() - 8);
  head_ = {head_.segment_number + 1, hash, head_.txid + encoded.head.txid, steps.back().time_ms,
           steps.back().transactions == 0};
  encoded.head = head_;
  encoded.wal = wal;
  encoded.pages = steps.back().pages;
  encoded.checksum = options_.index->checksum();
  for (auto& [pgno, hash] : encoded.hashes) hash = options_.index->Get(pgno);
  outbox_status_ = options_.outbox->AppendSegment(encoded, *segment);
  return Status::Ok();
}

void Encoder::MakeUnknown(const std::vector<EncoderStep>& steps, const EncodedSegment& encoded) {
  const auto make = [this](uint32_t pgno) {
    if (pgno <= options_.index->pages()) options_.index->Set(pgno, 0);
  };
  for (const auto& [pgno, hash] : encoded.hashes) make(pgno);
  for (const EncoderStep& step : steps) {
    for (const PageImage& page : step.images) make(page.pgno);
  }
}

void Encoder::BeginSnapshot(bool first) {
  snapshot_ = true;
  first_snapshot_ = first;
  touched_.assign(options_.index->pages(), false);
  held_ = {};
}

void Encoder::GoOnWithSnapshot(bool first, std::vector<bool> held) {
  BeginSnapshot(first);
  held_ = std::move(held);
}

void Encoder::EndSnapshot() {
  snapshot_ = false;
  first_snapshot_ = false;
  touched_ = {};
  held_ = {};
}

}  // namespace backstay
