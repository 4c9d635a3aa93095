#include "uploader/capture/page_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace backstay {

PageCache::PageCache(uint64_t capacity_bytes, uint32_t page_size)
    : page_size_(page_size), limit_(std::max<uint64_t>(1, capacity_bytes / page_size)) {}

const uint8_t* PageCache::Get(uint32_t pgno, uint64_t hash) {
  auto place = places_.find(pgno);
  if (place == places_.end() || slots_[place->second].hash != hash) return nullptr;
  slots_[place->second].used = true;
  return ImageOf(place->second);
}

void PageCache::Put(uint32_t pgno, uint64_t hash, const uint8_t* image) {
  auto [place, added] = places_.try_emplace(pgno, 0);
  if (added) {
    size_t slot = Free();
    if (slots_[slot].pgno != 0) places_.erase(slots_[slot].pgno);
    // Erasing another key does not move this one's entry.
    place->second = slot;
    slots_[slot].pgno = pgno;
  }
  slots_[place->second].hash = hash;
  slots_[place->second].used = true;
  std::memcpy(ImageOf(place->second), image, page_size_);
}

size_t PageCache::Free() {
  if (slots_.size() < limit_) {
    if (slots_.size() == chunks_.size() * kChunkSlots) {
      chunks_.push_back(std::make_unique_for_overwrite<uint8_t[]>(kChunkSlots * page_size_));
    }
    slots_.emplace_back();
    return slots_.size() - 1;
  }
  while (slots_[hand_].used) {
    slots_[hand_].used = false;
    hand_ = (hand_ + 1) % slots_.size();
  }
  return std::exchange(hand_, (hand_ + 1) % slots_.size());
}

}  // namespace backstay
