// Packs: consecutive log objects in one object, with an index. Specified in
// uploader/format/README.md.
//
// Values and pure functions, any thread. Readers return kCorrupt or kNewer.

#ifndef BACKSTAY_UPLOADER_FORMAT_PACK_H_
#define BACKSTAY_UPLOADER_FORMAT_PACK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "uploader/base/bytes.h"
#include "uploader/base/status.h"
#include "uploader/format/log_object.h"

namespace backstay {

// What planning a restore needs to know of a segment without its bytes.
struct SegmentInfo {
  uint64_t number = 0;
  uint64_t first_txid = 0;
  uint64_t transactions = 0;  // that end in it
  uint8_t flags = 0;
  int64_t first_time_ms = 0;
  int64_t last_time_ms = 0;

  bool more() const { return (flags & kSegmentMore) != 0; }
  uint64_t last_txid() const { return first_txid + transactions - 1; }
};
SegmentInfo InfoOf(const Segment& segment);

struct PackedObject {
  LogHeader header;
  uint64_t offset = 0;  // bytes from the start of the pack
  uint64_t length = 0;  // bytes
  std::vector<SegmentInfo> segments;
};

inline constexpr size_t kPackTailBytes = 64 << 10;
inline constexpr uint64_t kMaxPackObjects = 1 << 16;

class PackWriter {
 public:
  // Room for `bytes` at once: growing would hold the pack twice.
  explicit PackWriter(const DatabaseId& id, size_t bytes = 0);
  // One whole log object, in order of dense numbers; anything else is refused with its parse error
  // or kInvalid.
  Status Add(Bytes object, uint64_t number);
  const DatabaseId& id() const { return id_; }
  size_t objects() const { return index_.size(); }
  size_t bytes() const { return out_.size(); }
  // The pack, empty if nothing was added; the writer is spent.
  std::string Finish();

 private:
  const DatabaseId id_;
  ByteWriter out_;
  std::vector<PackedObject> index_;
};

// Where the index starts, from the end of a pack (the last min(size, kPackTailBytes) bytes).
// `pack_size` is the size of the whole object.
Result<uint64_t> PackIndexOffset(Bytes tail, uint64_t pack_size);
// `end`: the bytes from the index offset to the end of the pack. Numbers are checked to be dense
// and the objects to tile the pack. `id` receives the database's.
Result<std::vector<PackedObject>> ParsePackIndex(Bytes end, uint64_t pack_size,
                                                 DatabaseId* id = nullptr);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_FORMAT_PACK_H_
