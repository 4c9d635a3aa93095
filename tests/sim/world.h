// World: what outlives the simulated processes of one seed: the clock, the times of the files, and
// the journal, in which a process leaves what it did for the referee.
//
// Made once by the simulation, in memory that it shares with the processes that it forks; one
// thread at a time (scheduler.h). What fails ends the simulation.

#ifndef BACKSTAY_TESTS_SIM_WORLD_H_
#define BACKSTAY_TESTS_SIM_WORLD_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

namespace backstay::sim {

// Equal for equal seeds, everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  uint64_t Below(uint64_t n) { return n == 0 ? 0 : Next() % n; }
  int64_t Between(int64_t least, int64_t most) {
    return least + static_cast<int64_t>(Below(static_cast<uint64_t>(most - least + 1)));
  }
  bool Chance(uint64_t per_mille) { return Below(1000) < per_mille; }

 private:
  uint64_t state_;
};

constexpr int64_t kNsPerMs = 1'000'000;
constexpr int64_t kEpochNs = 1'800'000'000LL * 1000 * kNsPerMs;
constexpr int64_t kTickNs = 4 * kNsPerMs;  // of the clock that the times of files follow

struct World {
  int64_t now_ns = 0;    // since the world began
  uint64_t points = 0;   // where the scheduler may switch, or a process die
  uint64_t actions = 0;  // of the applications, and requests to the bucket
  int journal = -1;
  // The power may be cut (power.h); kLoose: a commit in WAL mode may be gone then, as with
  // synchronous=NORMAL.
  enum Cuts : uint8_t { kNone, kStrict, kLoose };
  Cuts cuts = kNone;
  std::array<char, 4096> folder{};  // of the database
  struct FileTime {
    uint64_t inode = 0;
    int64_t ns = 0;
  };
  std::array<FileTime, 1 << 14> times{};

  // The processes that live at once (turns.h).
  struct Slot {
    bool lives = false;
    int64_t until_ns = 0;            // all of its threads wait until then
    std::atomic<uint32_t> turn = 0;  // it may run
    uint64_t statements = 0;         // begun and ended
  };
  std::array<Slot, 4> slots{};
  uint64_t wakes = 0;
  std::array<const void*, 4096> woken{};

  int64_t TickedNs() const { return kEpochNs + now_ns / kTickNs * kTickNs; }
  void Touch(uint64_t inode);
  int64_t TimeOf(uint64_t inode);

 private:
  FileTime* Find(uint64_t inode);
};

// Null until the simulation has made it.
extern World* world;
void MakeWorld(const std::string& journal_path);

// What a record of the journal says. Keys and values by kind.
enum class Kind : uint8_t {
  kPut = 1,    // key, object
  kDelete,     // key
  kBegins,     // digest of the content that a transaction is about to commit, number in `seq`
  kCommitted,  // the same, once it is; "bare": SQLite 3.40 may forget it, and what follows
               // (capture/README.md)
  kFound,      // digest of what a process finds when it begins, and nobody is writing
  kAsks,       // is all shipped?
  kSynced,     // it is, says the engine: digest, whole image; both empty where another process may
               // have changed it meanwhile
  kSafe,       // the last commit is, says durability=sync
  kRuined,     // SQLite itself has broken the database
  kSays,       // a line of the history
  kViolation,  // what the process itself saw
};
extern uint8_t this_process;  // who says it; 0: the simulation itself

struct Record {
  Kind kind{};
  uint8_t process = 0;
  std::string key;
  std::string value;
};
// The next record behind *at; false: there is none yet.
bool ReadJournal(int64_t* at, Record* record);

// Never a point of the scheduler; there even if the process dies in the next instruction.
void Note(Kind kind, const std::string& key, const std::string& value = "");
void Say(const char* format, ...) __attribute__((format(printf, 1, 2)));

}  // namespace backstay::sim

#endif  // BACKSTAY_TESTS_SIM_WORLD_H_
