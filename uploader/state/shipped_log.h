// ShippedLog: the newest log objects, as they were shipped, for the packs that they will go into:
// file `shipped` of a state folder.
//
// Owned by Core; any thread. A convenience: what cannot be written, kept or read back is not there,
// and the packer asks the bucket for it. Record (little-endian): u64 number, u32 length, u64
// XXH3-64 of the object xor that of the database id, the object. Numbers are dense. Appended, not
// synced; a tail that was never finished ends it.
// No descriptor stays open.

#ifndef BACKSTAY_UPLOADER_STATE_SHIPPED_LOG_H_
#define BACKSTAY_UPLOADER_STATE_SHIPPED_LOG_H_

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "uploader/base/file.h"
#include "uploader/format/keys.h"

namespace backstay {

class ShippedLog {
 public:
  static constexpr uint64_t kMaxBytes = 8 << 20;  // of the file

  explicit ShippedLog(std::string path) : path_(std::move(path)) {}

  // Finds what an earlier process has left. By the process that ships, before the rest.
  void Open(const DatabaseId& id);
  // The object was acknowledged under this number. One that does not follow the last, or has no
  // room, puts an end to those before. Of an empty one only the number is noted.
  void Add(uint64_t number, Bytes object);
  // nullopt: it is not there. Empty: only its number was noted.
  std::optional<std::string> Read(uint64_t number) const;
  // Up to this number none is needed any more.
  void DropThrough(uint64_t number);
  void Clear();

 private:
  bool ReadRecord(const Fd& fd, size_t index, std::string* object) const;
  void ClearLocked();
  void KeepFromLocked(size_t index);

  const std::string path_;
  mutable std::mutex mutex_;
  // Guarded by mutex_.
  uint64_t owner_ = 0;
  uint64_t first_ = 0;           // number of the first record
  std::vector<uint32_t> begin_;  // offsets of the records
  uint32_t end_ = 0;             // bytes of the file
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_SHIPPED_LOG_H_
