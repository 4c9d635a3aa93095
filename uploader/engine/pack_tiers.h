// Pack tiers: when log objects are worth a pack, and which earlier packs go into it.
//
// Pure functions and constants, any thread; used by Packer. A pack costs a PUT and a list, so it
// has to replace many small objects; a large one is read as quickly by itself and would be sent
// twice. Of packs of about the same number of objects four become one, so that a log of n objects
// lies in some log(n) of them.

#ifndef BACKSTAY_UPLOADER_ENGINE_PACK_TIERS_H_
#define BACKSTAY_UPLOADER_ENGINE_PACK_TIERS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

namespace backstay {

struct PackTiers {
  static constexpr uint64_t kObjects = 32;             // so many singles make a pack
  static constexpr uint64_t kLeastObjects = 8;         // and no fewer, however old
  static constexpr uint64_t kSmallBytes = 256 << 10;   // a larger one stays single
  static constexpr uint64_t kFullBytes = 4 << 20;      // no pack grows beyond
  static constexpr uint64_t kClosedBytes = 2 << 20;    // this one grows no more
  static constexpr uint64_t kClosedObjects = 1 << 14;  // likewise
  static constexpr size_t kFanOut = 4;

  struct Pack {
    uint64_t first = 0;
    uint64_t last = 0;
    uint64_t bytes = 0;
    uint64_t objects() const { return last - first + 1; }
    bool closed() const { return bytes >= kClosedBytes || objects() >= kClosedObjects; }
  };

  // How many of the last `packs` (ascending) go into a pack of `next`, which comes behind them.
  static size_t Merged(const std::vector<Pack>& packs, Pack next) {
    size_t taken = 0;
    for (;;) {
      const int level = LevelOf(next.objects());
      size_t group = taken;
      Pack whole = next;
      for (; group < packs.size(); ++group) {
        const Pack& pack = packs[packs.size() - 1 - group];
        const bool adjoins = pack.last + 1 == whole.first && !pack.closed();
        if (!adjoins || LevelOf(pack.objects()) > level) break;
        if (whole.bytes + pack.bytes > kFullBytes) break;
        whole = {pack.first, whole.last, whole.bytes + pack.bytes};
      }
      if (group - taken + 1 < kFanOut) return taken;
      taken = group;
      next = whole;
    }
  }

 private:
  static int LevelOf(uint64_t objects) {
    int level = 0;
    for (uint64_t limit = kObjects * kFanOut; objects >= limit; limit *= kFanOut) ++level;
    return level;
  }
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_PACK_TIERS_H_
