// History: one seed: a database, its bucket, and the lives of the processes that use it, with what
// befalls the files between them.
//
// One at a time, in the simulation's only thread; the lives are forked from it. Leaves its folder
// only where something was found.

#ifndef BACKSTAY_TESTS_SIM_HISTORY_H_
#define BACKSTAY_TESTS_SIM_HISTORY_H_

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "tests/sim/application.h"
#include "tests/sim/referee.h"

namespace backstay::sim {

class History {
 public:
  struct Options {
    uint64_t seed = 1;
    size_t at_once = 3;    // most processes at the same time
    bool without = false;  // Backstay is not brought in: what breaks is broken by SQLite
  };
  // `folder`: of this history alone, made and removed by it.
  History(const Options& options, std::filesystem::path folder);
  ~History();
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  // False: a violation.
  bool Run(int lives);
  // Prints all of it, and what was found.
  void Tell();
  void TellShortly() const;

  uint64_t lives() const { return lives_; }
  const Referee& referee() const { return referee_; }

 private:
  // One process.
  struct Life {
    uint64_t seed = 0;
    int64_t begins_ns = 0;
    bool foreign = false;  // without Backstay
    int steps = 0;
    uint64_t die_at = 0;
    uint64_t switch_per_mille = 0;
    BucketFaults faults;
  };
  Life DrawLife();
  void Settle();
  // Several at once, one after the other in a slot.
  bool RunLives();
  pid_t Begin(size_t slot);
  bool Ended(int status);
  [[noreturn]] void Live(size_t slot, const Life& life);
  void Between();
  void LoseState();
  void KeepCopy();
  void PutBackCopy();
  void LoseDisk();
  std::string Database() const { return folder_ / "db"; }

  const Options options_;
  const std::filesystem::path folder_;
  Random random_;
  const Habits habits_;
  uint64_t foreign_per_mille_ = 0;  // of the processes, where several live at once
  Referee referee_;
  std::map<std::string, std::string> settings_;
  bool conditions_ = true;
  bool several_ = false;     // processes at once, this time
  std::string copy_digest_;  // of the copy in the folder "copy"; empty: there is none
  uint64_t lives_ = 0;
};

}  // namespace backstay::sim

#endif  // BACKSTAY_TESTS_SIM_HISTORY_H_
