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
#include <map>
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
  // For people: what each transaction in the replica restores to.
  std::vector<std::string> Transactions();
  // The file is another one from now on: of the latest state in the replica, or an older copy.
  void ExpectRestored(const std::string& digest);
  void ExpectOlder(const std::string& digest) { older_ = digest; }
  // All that is found next is on the disk.
  void ExpectFlushed() { flushed_ = true; }

  struct Restored {
    RestoreOutcome outcome;
    std::vector<uint8_t> image;
    std::string digest;
  };
  // Nullopt: nothing can be restored; *why says so.
  std::optional<Restored> Restore(const RestoreTarget& target, Status* why);

  Objects* objects() { return &objects_; }
  int64_t read() const { return read_; }
  const std::string& digest() const { return history_.back().digest; }
  uint64_t synced() const { return synced_; }
  uint64_t restores() const { return restores_; }
  // What the database holds shows only when the next process has found it: a commit was under way
  // when the last one died, or the file is another one since.
  bool uncertain() const { return !pending_.empty() || !older_.empty() || bare_.has_value(); }
  std::vector<std::string> violations;
  bool ruined = false;  // SQLite itself has broken the database: what follows says nothing
  std::deque<std::string> lines;  // the history, for people

 private:
  struct State {
    std::string digest;
    int64_t number = 0;  // in the table `seq`
    bool operator==(const State& other) const { return digest == other.digest; }
  };
  void Take(const Record& record);
  void Violation(const std::string& what);
  void Begins(uint8_t process, const State& state);
  void Committed(uint8_t process, const std::string& digest, bool bare);
  void Settle(int64_t below);
  void Found(const std::string& digest);
  void Synced(uint8_t process, const std::string& digest, const std::string& image);
  bool IsPending(const std::string& digest) const;
  std::optional<size_t> PlaceOf(const std::string& digest) const;
  void CheckLatest();

  Objects objects_;
  int64_t read_ = 0;                   // bytes of the journal
  std::vector<State> history_ = {{}};  // as they were committed
  std::optional<size_t> bare_;         // place of the last state before one that a crash may undo
  bool flushed_ = false;
  std::map<uint8_t, State> pending_;  // of commits that are under way, by process
  std::map<uint8_t, size_t> asked_;   // place of the last commit when the process asked
  std::string older_;                 // of a copy that was put in place of the database
  size_t shipped_ = 0;                // place in history_ that was said to be shipped
  bool restorable_ = false;
  uint64_t synced_ = 0;
  uint64_t restores_ = 0;
};

}  // namespace backstay::sim

#endif  // BACKSTAY_TESTS_SIM_REFEREE_H_
