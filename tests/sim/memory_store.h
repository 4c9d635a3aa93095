// MemoryStore: a database that is restored into memory. One restore's, whose threads write ranges
// that do not overlap. Cannot fail but for memory.

#ifndef BACKSTAY_TESTS_SIM_MEMORY_STORE_H_
#define BACKSTAY_TESTS_SIM_MEMORY_STORE_H_

#include <cstring>
#include <mutex>
#include <vector>

#include "uploader/replica/page_store.h"

namespace backstay::sim {

class MemoryStore : public PageStore {
 public:
  Status Write(uint64_t offset, Bytes data) override {
    std::lock_guard lock(mutex_);
    if (image.size() < offset + data.size()) image.resize(offset + data.size());
    std::memcpy(image.data() + offset, data.data(), data.size());
    return Status::Ok();
  }
  Status Read(uint64_t offset, uint8_t* out, size_t n) override {
    std::lock_guard lock(mutex_);
    std::memset(out, 0, n);
    if (offset < image.size())
      std::memcpy(out, image.data() + offset, std::min<size_t>(n, image.size() - offset));
    return Status::Ok();
  }
  Status Truncate(uint64_t size) override {
    std::lock_guard lock(mutex_);
    image.resize(size);
    return Status::Ok();
  }

  std::vector<uint8_t> image;

 private:
  std::mutex mutex_;
};

}  // namespace backstay::sim

#endif  // BACKSTAY_TESTS_SIM_MEMORY_STORE_H_
