#include "uploader/format/page_patch.h"

#include <algorithm>
#include <cstring>

#include "uploader/format/checks.h"

namespace backstay {
namespace {

// Above either, a zstd frame that has the old images of the neighbours too does better: what left
// one page is often what came to another (tests/bench).
constexpr uint32_t kMaxChangedBytes = 64;
constexpr size_t kMaxRanges = 16;
// A range costs about as much as these bytes.
constexpr uint32_t kMaxGap = 3;

struct Move {
  uint32_t from = 0;
  uint32_t to = 0;
  uint32_t length = 0;
};

uint32_t LoadBe16(const uint8_t* p) { return uint32_t{p[0]} << 8 | p[1]; }

// Where the cell pointers of a B-tree page begin; 0: not such a page (sqlite.org/fileformat2.html,
// 1.6).
uint32_t CellPointersAt(uint32_t header, Bytes page) {
  switch (page[header]) {
    case 2:
    case 5: return header + 12;
    case 10:
    case 13: return header + 8;
    default: return 0;
  }
}

// The shift of the cell pointers behind a cell that came or went.
Move FindMove(uint32_t pgno, Bytes before, Bytes after) {
  const uint32_t header = pgno == 1 ? 100 : 0;
  if (before[header] != after[header]) return {};
  const uint32_t pointers = CellPointersAt(header, before);
  const uint32_t count = LoadBe16(before.data() + header + 3);
  const uint32_t count_after = LoadBe16(after.data() + header + 3);
  if (pointers == 0 || count == count_after) return {};
  if (pointers + 2 * std::max(count, count_after) > before.size()) return {};
  const uint32_t both = std::min(count, count_after);
  uint32_t same = 0;
  while (same < both && std::memcmp(before.data() + pointers + 2 * same,
                                    after.data() + pointers + 2 * same, 2) == 0) {
    ++same;
  }
  const uint32_t at = pointers + 2 * same;
  const uint32_t length = 2 * (both - same);
  if (count_after > count) return {at, at + 2 * (count_after - count), length};
  return {at + 2 * (count - count_after), at, length};
}

}  // namespace

bool PagePatcher::AddChange(uint32_t at) {
  if (!ranges_.empty() && at - ranges_.back().end <= kMaxGap) {
    changed_ += at + 1 - ranges_.back().end;
    ranges_.back().end = at + 1;
  } else {
    ranges_.push_back({at, at + 1});
    ++changed_;
  }
  return changed_ <= kMaxChangedBytes && ranges_.size() <= kMaxRanges;
}

bool PagePatcher::FindRanges(Bytes before, Bytes after) {
  ranges_.clear();
  changed_ = 0;
  for (uint32_t word = 0; word < before.size(); word += 8) {
    if (LoadLe64(before.data() + word) == LoadLe64(after.data() + word)) continue;
    for (uint32_t at = word; at < word + 8; ++at) {
      if (before[at] != after[at] && !AddChange(at)) return false;
    }
  }
  return true;
}

bool PagePatcher::Make(uint32_t pgno, Bytes before, Bytes after, ByteWriter* out) {
  const Move move = FindMove(pgno, before, after);
  if (move.length > 0) {
    moved_.assign(before.begin(), before.end());
    std::memmove(moved_.data() + move.to, moved_.data() + move.from, move.length);
    before = moved_;
  }
  if (!FindRanges(before, after)) return false;
  out->Varint(ranges_.size() * 2 + (move.length > 0 ? 1 : 0));
  if (move.length > 0) {
    out->Varint(move.from);
    out->Varint(ZigZag(int64_t{move.to} - move.from));
    out->Varint(move.length);
  }
  uint32_t end = 0;
  for (const Range& range : ranges_) {
    out->Varint(range.begin - end);
    out->Varint(range.end - range.begin);
    end = range.end;
  }
  for (const Range& range : ranges_) out->Raw(after.subspan(range.begin, range.end - range.begin));
  return true;
}

Status ApplyPagePatch(ByteReader* patch, std::span<uint8_t> image) {
  const auto bad = [] { return Corrupt("page patch", "reaches outside its page"); };
  const uint64_t head = patch->VarintMax(2 * image.size());
  if (head % 2 == 1) {
    const uint64_t from = patch->VarintMax(image.size());
    const auto to = from + static_cast<uint64_t>(UnZigZag(patch->VarintMax(2 * image.size())));
    if (!patch->ok() || to > image.size()) return bad();
    const uint64_t length = patch->VarintMax(image.size() - std::max(from, to));
    if (!patch->ok()) return bad();
    std::memmove(image.data() + to, image.data() + from, length);
  }
  ByteReader lengths = *patch;
  uint64_t end = 0;
  for (uint64_t i = 0; i < head / 2; ++i) {
    end += patch->VarintMax(image.size() - end);
    end += patch->VarintMax(image.size() - end);
    if (!patch->ok()) return bad();
  }
  end = 0;
  for (uint64_t i = 0; i < head / 2; ++i) {
    end += lengths.Varint();
    const Bytes bytes = patch->Raw(lengths.Varint());
    if (!patch->ok()) return bad();
    std::copy(bytes.begin(), bytes.end(), image.begin() + static_cast<ptrdiff_t>(end));
    end += bytes.size();
  }
  return patch->ok() ? Status::Ok() : bad();
}

}  // namespace backstay
