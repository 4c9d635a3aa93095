// Referee: knows what was committed, keeps the bucket, and says whether what it holds is what it
// should.
//
// Owned by the simulation, outside the simulated processes. TakeUp() follows the journal of a life;
// whatever is wrong is in `violations`. What can be restored equals a state that was committed; a
// state that the engine has said to be shipped is restored to the byte; none is lost again.

#ifndef BACKSTAY_TESTS_SIM_REFEREE_H_
#define BACKSTAY_TESTS_SIM_REFEREE_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "tests/sim/bucket.h"
#include "tests/sim/memory_store.h"
#include "tests/sim/world.h"
#include "uploader/replica/restore.h"

namespace backstay::sim {

class Referee {
 public:
  // Follows what a life has left in the journal.
  void TakeUp();
  // Restores the latest state, and some earlier ones.
  void CheckReplica(Random* random);
  // The file is another one from now on: of the latest state in the replica, or an older copy.
  void ExpectRestored(const std::string& digest);
  void ExpectOlder(const std::string& digest) { older_ = digest; }

  struct Restored {
    RestoreOutcome outcome;
    std::vector<uint8_t> image;
    std::string digest;
  };
  // Nullopt: nothing can be restored; *why says so.
  std::optional<Restored> Restore(const RestoreTarget& target, Status* why);

  Objects* objects() { return &objects_; }
  const std::string& digest() const { return history_.back(); }
  uint64_t synced() const { return synced_; }
  uint64_t restores() const { return restores_; }
  // What the database holds shows only when the next process has found it: a commit was under way
  // when the last one died, or the file is another one since.
  bool uncertain() const { return !pending_.empty() || !older_.empty() || bare_.has_value(); }
  std::vector<std::string> violations;
  std::deque<std::string> lines;  // the history, for people

 private:
  void Take(Kind kind, const std::string& key, const std::string& value);
  void Violation(const std::string& what);
  void Found(const std::string& digest);
  void Synced(const std::string& digest, const std::string& image);
  std::optional<size_t> PlaceOf(const std::string& digest) const;
  void CheckLatest();

  Objects objects_;
  int64_t read_ = 0;                         // bytes of the journal
  std::vector<std::string> history_ = {""};  // digests, as they were committed
  std::optional<size_t> bare_;  // place of the last state before one that a crash may undo
  std::string pending_;         // of a commit that is under way
  std::string older_;           // of a copy that was put in place of the database
  size_t shipped_ = 0;          // place in history_ that was said to be shipped
  bool restorable_ = false;
  uint64_t synced_ = 0;
  uint64_t restores_ = 0;
};

}  // namespace backstay::sim

#endif  // BACKSTAY_TESTS_SIM_REFEREE_H_
