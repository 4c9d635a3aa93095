// The reading half of a segment's frames: Segment::Apply().

#include <algorithm>
#include <cstring>
#include <span>

#include "uploader/base/hash.h"
#include "uploader/format/checks.h"
#include "uploader/format/frame_codec.h"
#include "uploader/format/page_patch.h"
#include "uploader/format/segment.h"

namespace backstay {
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

void AddHash(Hasher* hasher, uint64_t hash) {
  uint8_t bytes[8];
  StoreLe64(bytes, hash);
  hasher->Update(bytes);
}

}  // namespace

// Rebuilds the images of one frame after the other.
class Segment::FrameReader {
 public:
  FrameReader(const Segment& segment, const BaseReader& base, FrameDecoder* decoder)
      : segment_(segment), page_size_(segment.header().page_size), base_(base), decoder_(decoder) {}

  // The images of `entries`, in order, and their hashes; valid until the next call.
  Status Read(const Frame& frame, std::span<const FlatEntry> entries);
  Bytes image(size_t i) const { return Bytes(images_).subspan(i * page_size_, page_size_); }
  uint64_t hash(size_t i) const { return hashes_[i]; }

  uint64_t pages_hash() const { return hasher_.Digest(); }

 private:
  Status ReadOlds(std::span<const FlatEntry> entries);
  Status Decode(const Frame& frame, std::span<const FlatEntry> entries);
  Status Rebuild(const Frame& frame, std::span<const FlatEntry> entries);
  size_t Member(uint32_t pgno) const {
    return static_cast<size_t>(std::find(pages_.begin(), pages_.end(), pgno) - pages_.begin());
  }

  const Segment& segment_;
  const uint32_t page_size_;
  const BaseReader& base_;
  FrameDecoder* const decoder_;
  Hasher hasher_;
  std::vector<uint32_t> pages_;         // of the frame, each once
  std::vector<const uint8_t*> newest_;  // image of each of them; null: none yet, nor needed
  std::vector<uint8_t> olds_;           // images before the frame, of those that need them
  std::vector<uint8_t> images_;
  std::vector<uint64_t> hashes_;
};

// A page's first entry says whether the image before the frame is needed.
Status Segment::FrameReader::ReadOlds(std::span<const FlatEntry> entries) {
  pages_.clear();
  newest_.clear();
  olds_.resize(entries.size() * page_size_);
  uint8_t* next = olds_.data();
  for (const FlatEntry& flat : entries) {
    if (Member(flat.entry.pgno) < pages_.size()) continue;
    const bool needed = flat.entry.kind != EntryKind::kFull;
    pages_.push_back(flat.entry.pgno);
    newest_.push_back(needed ? next : nullptr);
    if (!needed) continue;
    BACKSTAY_TRY(base_(flat.entry.pgno, next));
    AddHash(&hasher_, PageHash(flat.entry.pgno, {next, page_size_}));
    next += page_size_;
  }
  return Status::Ok();
}

Status Segment::FrameReader::Decode(const Frame& frame, std::span<const FlatEntry> entries) {
  std::vector<uint8_t>& prefix = decoder_->prefix;
  prefix.clear();
  for (const FlatEntry& flat : entries) {
    if (flat.entry.kind != EntryKind::kBased) continue;
    // Only patches may come before it in its frame, and they began with the old image.
    const uint8_t* old = newest_[Member(flat.entry.pgno)];
    prefix.insert(prefix.end(), old, old + page_size_);
  }
  std::vector<uint8_t>& content = decoder_->images;
  content.resize(size_t{frame.images} * page_size_ + frame.patch_bytes);
  // A wrong base usually shows here first: the frame then refers to bytes that are not there.
  return decoder_->Decode(prefix, frame.zstd, content.data(), content.size());
}

Status Segment::FrameReader::Rebuild(const Frame& frame, std::span<const FlatEntry> entries) {
  const Bytes content(decoder_->images);
  const uint8_t* whole = content.data();
  ByteReader patches(content.subspan(size_t{frame.images} * page_size_));
  images_.resize(entries.size() * page_size_);
  hashes_.resize(entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    const SegmentEntry& entry = entries[i].entry;
    uint8_t* out = images_.data() + i * page_size_;
    const size_t member = Member(entry.pgno);
    if (entry.kind == EntryKind::kPatched) {
      std::memcpy(out, newest_[member], page_size_);
      BACKSTAY_TRY(ApplyPagePatch(&patches, {out, page_size_}));
    } else {
      std::memcpy(out, whole, page_size_);
      whole += page_size_;
    }
    newest_[member] = out;
    hashes_[i] = PageHash(entry.pgno, {out, page_size_});
    AddHash(&hasher_, hashes_[i]);
  }
  return patches.remaining() == 0 ? Status::Ok() : Corrupt("segment frame", "bytes after a patch");
}

Status Segment::FrameReader::Read(const Frame& frame, std::span<const FlatEntry> entries) {
  BACKSTAY_TRY(ReadOlds(entries));
  Status rebuilt = Decode(frame, entries);
  if (rebuilt.ok()) rebuilt = Rebuild(frame, entries);
  return rebuilt.ok() ? rebuilt
                      : rebuilt.Wrap("segment " + std::to_string(segment_.header().number));
}

Status Segment::Apply(const BaseReader& base, const PageSink& sink, FrameDecoder* decoder) const {
  std::unique_ptr<FrameDecoder> own;
  if (decoder == nullptr) decoder = (own = std::make_unique<FrameDecoder>()).get();
  const std::vector<FlatEntry> flat = Flatten(steps_);
  std::span<const FlatEntry> left(flat);
  FrameReader reader(*this, base, decoder);
  for (const Frame& frame : frames_) {
    auto entries = left.first(frame.entries);
    left = left.subspan(frame.entries);
    BACKSTAY_TRY(reader.Read(frame, entries));
    if (left.empty() && reader.pages_hash() != pages_hash_) {
      return Corrupt("segment " + std::to_string(header_.number),
                     "the pages do not match their hash");
    }
    for (size_t i = 0; i < entries.size(); ++i) {
      BACKSTAY_TRY(sink(entries[i].step, entries[i].entry.pgno, reader.image(i), reader.hash(i)));
    }
  }
  return Status::Ok();
}

}  // namespace backstay
