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
  // Its backstay.json was seen there, which proves as well that it answers.
  void Seen(int64_t began_ms) {
    seen_.Note(began_ms);
    Proved(began_ms);
  }
  // Something else of it was: who deletes backstay.json is not found by that.
  void Proved(int64_t began_ms) { proved_.Note(began_ms); }
  bool SeenSince(int64_t ms) const { return seen_.Since(ms); }
  bool ProvedSince(int64_t ms) const { return proved_.Since(ms); }
  // Something of this process is in the replica.
  void Wrote() { wrote_ = true; }
  bool wrote() const { return wrote_; }
  void Want(int64_t now_ms) { seen_.wanted_ms = now_ms; }
  bool wanted() const { return seen_.wanted_ms.has_value(); }
  void WantProof(int64_t now_ms) { proved_.wanted_ms = now_ms; }
  bool proof_wanted() const { return proved_.wanted_ms.has_value(); }

 private:
  struct Looks {
    std::optional<int64_t> last_ms;
    std::optional<int64_t> wanted_ms;
    void Note(int64_t began_ms) {
      last_ms = began_ms;
      if (wanted_ms && began_ms >= *wanted_ms) wanted_ms.reset();
    }
    bool Since(int64_t ms) const { return last_ms && *last_ms >= ms; }
  };

  Looks seen_;
  Looks proved_;
  bool wrote_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_LOOK_BOOK_H_
