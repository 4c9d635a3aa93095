// LookBook: when the replica was last seen to be there, and whether somebody wants it looked at.
//
// Owned by Core, guarded by its mutex. A look counts from when it began; times are monotonic, in
// ms.

#ifndef BACKSTAY_UPLOADER_ENGINE_LOOK_BOOK_H_
#define BACKSTAY_UPLOADER_ENGINE_LOOK_BOOK_H_

#include <cstdint>
#include <optional>

namespace backstay {

class LookBook {
 public:
  void Seen(int64_t began_ms) {
    seen_ms_ = began_ms;
    if (wanted_ms_ && began_ms >= *wanted_ms_) wanted_ms_.reset();
  }
  bool SeenSince(int64_t ms) const { return seen_ms_ && *seen_ms_ >= ms; }
  // Something of this process is in the replica.
  void Wrote() { wrote_ = true; }
  bool wrote() const { return wrote_; }
  void Want(int64_t now_ms) { wanted_ms_ = now_ms; }
  bool wanted() const { return wanted_ms_.has_value(); }

 private:
  std::optional<int64_t> seen_ms_;
  std::optional<int64_t> wanted_ms_;
  bool wrote_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_LOOK_BOOK_H_
