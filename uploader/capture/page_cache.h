// PageCache: the most recently encoded page images, as candidates for a page's old image.
//
// Used by Capture under the pipeline's mutex. Fixed memory: capacity bytes of images and ~40 bytes
// a slot. Replacement is second chance (a clock): as good as LRU here and without list upkeep.
// Cannot fail.

#ifndef BACKSTAY_UPLOADER_CAPTURE_PAGE_CACHE_H_
#define BACKSTAY_UPLOADER_CAPTURE_PAGE_CACHE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

namespace backstay {

class PageCache {
 public:
  PageCache(uint64_t capacity_bytes, uint32_t page_size);

  // The image of this page with this page hash, or null. Valid until the next Put().
  const uint8_t* Get(uint32_t pgno, uint64_t hash);
  void Put(uint32_t pgno, uint64_t hash, const uint8_t* image);

 private:
  struct Slot {
    uint32_t pgno = 0;
    bool used = false;  // since the hand passed
    uint64_t hash = 0;
  };
  size_t Free();
  uint8_t* ImageOf(size_t slot) {
    return chunks_[slot / kChunkSlots].get() + slot % kChunkSlots * page_size_;
  }

  static constexpr size_t kChunkSlots = 64;
  const uint32_t page_size_;
  const size_t limit_;  // slots
  std::vector<Slot> slots_;
  // Never moved: a growing block would leave its earlier copies behind in the heap.
  std::vector<std::unique_ptr<uint8_t[]>> chunks_;
  std::unordered_map<uint32_t, size_t> places_;
  size_t hand_ = 0;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_CAPTURE_PAGE_CACHE_H_
