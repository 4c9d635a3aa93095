// OutboxRoom: how much may wait in the outbox before it is given up for one repair.
//
// Owned by the CaptureLoop, used on its thread; plain arithmetic that cannot fail. In an outage the
// setting is all there is. A replica that works is about to take what one pass has brought,
// however large a transaction was: what waits beyond the setting since then still has to go down
// before the setting holds again.

#ifndef BACKSTAY_UPLOADER_ENGINE_OUTBOX_ROOM_H_
#define BACKSTAY_UPLOADER_ENGINE_OUTBOX_ROOM_H_

#include <algorithm>
#include <cstdint>

namespace backstay {

class OutboxRoom {
 public:
  explicit OutboxRoom(uint64_t limit) : limit_(limit) {}

  // Bytes that wait before a pass.
  void PassBegins(uint64_t waiting) {
    before_ = waiting;
    if (waiting <= limit_) burst_ = 0;
  }
  // And after it. False: they are too many.
  bool Fits(uint64_t waiting, bool outage) {
    if (outage) return waiting <= limit_;
    if (before_ <= limit_) burst_ = std::max(burst_, waiting - std::min(waiting, before_));
    return waiting <= limit_ + std::max(burst_, kLeastBurst);
  }

 private:
  static constexpr uint64_t kLeastBurst = 8 << 20;  // one repair

  const uint64_t limit_;
  uint64_t before_ = 0;
  uint64_t burst_ = 0;  // brought by a pass that began below the limit
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_OUTBOX_ROOM_H_
