// Proof: whether what is committed is in the replicas, which can be reached, as far as known.
//
// A value; of one pipeline, and of several together: the worst of them counts, and every reason is
// kept.

#ifndef BACKSTAY_UPLOADER_ENGINE_PROOF_H_
#define BACKSTAY_UPLOADER_ENGINE_PROOF_H_

#include <algorithm>
#include <string>
#include <utility>

namespace backstay {

struct Proof {
  // In this order the later one counts. kNone: another process ships.
  enum Kind { kNone, kGood, kAwaited, kBad };
  Kind kind = kNone;
  std::string why;      // of the last two, a line for each pipeline
  bool awaits = false;  // of one of several

  // An answer is under way, whatever is known of the others.
  bool Awaits() const { return awaits || kind == kAwaited; }
  void Add(Proof other) {
    awaits |= other.Awaits();
    kind = std::max(kind, other.kind);
    if (!other.why.empty()) why += (why.empty() ? "" : "\n") + std::move(other.why);
  }
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_PROOF_H_
