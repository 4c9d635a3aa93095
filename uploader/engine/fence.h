// Fence: keeps two writers of one log apart, on any store.
//
// A store that refuses to create what exists does it alone: of two writers that put the same number
// one is refused. Where the store does not (it ignores If-None-Match, or answers 501), a writer
// announces itself in log/writer before its first object, waits if somebody else was the last to do
// so, and looks there before and after each object. What it has put counts only while nobody else
// has announced himself: whoever comes later finds in the log all that was ever acknowledged.
// A writer that finds another one announced has the log no longer, however long it was away: it
// announces itself again only for a takeover, which reads the log to its end.
//
// Owned by LogWriter, used on the ship thread; takes the Core's mutex for short, local work. Fails
// with the client's errors; kContended while another writer has announced itself and the log does
// not tell yet whether it has taken over.

#ifndef BACKSTAY_UPLOADER_ENGINE_FENCE_H_
#define BACKSTAY_UPLOADER_ENGINE_FENCE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "uploader/engine/core.h"

namespace backstay {

class Fence {
 public:
  explicit Fence(Core* core) : core_(core) {}

  // Asks the store to create the identity a second time, unless this state knows that it refuses.
  // The identity must be there.
  Status Probe();
  bool refuses() const { return refuses_; }
  // kExists: there is an object of that name.
  Status Create(const std::string& key, Bytes body);

  // The rest is for a store that does not refuse; on others it answers at once.

  // Ok: nobody else has announced himself since this writer did.
  Status Hold();
  // kContended was the answer for so long that whoever has announced himself had the time to take
  // the log over.
  bool WaitedEnough() const;
  // Somebody else was the last writer to announce himself.
  Result<bool> HasStranger();
  // While there is something to ship, and once behind it.
  bool LookDue() const;
  // False: an object of this process was overwritten.
  Result<bool> Intact();

  // On any thread, for who writes anything else than the log: kContended when somebody else has
  // announced himself.
  static Status Ask(Core* core);
  // The same where nothing is committed, so that no PUT tells it: the number of an object of the
  // log that is a newer writer's; 0: there is none. A takeover of this process that is under way is
  // not.
  static Result<uint64_t> NewerWriter(Core* core);

 private:
  void Refuses();
  void RefusesNot(const std::string& why);
  Status Announce(bool takeover);
  Status Wait();
  Status HoldLately();
  Status CreateByLooking(const std::string& key, Bytes body);
  Status IsFree(const std::string& key);
  void Remember(const std::string& key, Bytes body);
  uint64_t Writer() const;

  Core* const core_;
  bool refuses_ = true;     // as far as known
  uint64_t process_ = 0;    // tells this process from one with a copy of its state; 0: none yet
  uint64_t announced_ = 0;  // the writer that this process has announced; 0: none
  int64_t held_ms_ = 0;     // monotonic, like the others: it still held
  std::optional<int64_t> stranger_since_ms_;
  std::optional<int64_t> put_ms_;  // of the first object since the last look
  std::map<std::string, std::string>
      ends_;  // last bytes of the newest takeover and the newest object
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_FENCE_H_
