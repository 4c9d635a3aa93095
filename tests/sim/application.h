// Application: what a program does with its database, drawn from a seed, step by step: several
// connections, all journal modes that survive a kill, savepoints, spills, VACUUM, checkpoints, and
// a connection beside Backstay that writes, too.
//
// One per simulated process, in its first thread; others may use the same database. Each
// transaction changes the content, and its digest is in the journal before and after the commit.
// What the host must never see (an I/O error, a corrupt database) is noted as a violation.

#ifndef BACKSTAY_TESTS_SIM_APPLICATION_H_
#define BACKSTAY_TESTS_SIM_APPLICATION_H_

#include <sqlite3.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/sim/world.h"

namespace backstay::sim {

// The logical content: all rows of all tables. Empty: it cannot be read.
std::string DigestOf(sqlite3* db);

// What the programs of one history do more often than others, or never: what shows only where some
// of it comes together would drown in all the rest.
struct Habits {
  enum Action {
    kTransact,
    kCheckpoint,
    kSwitchMode,
    kVacuum,
    kLock,
    kRead,
    kSync,
    kPause,
    kOpen,
    kCloseAll,
    kClose,
    kActions
  };
  std::array<uint64_t, kActions> shares{};
  uint64_t foreign_per_mille = 250;  // of the connections
  bool small = false;                // transactions of few pages
  explicit Habits(Random* random);
};

class Application {
 public:
  // `foreign`: the process does not know Backstay.
  Application(std::string path, const Habits& habits, bool foreign, uint64_t seed)
      : path_(std::move(path)), habits_(habits), foreign_(foreign), random_(seed) {}

  void Run(int steps);
  // Closes everything, in some order.
  void Close();

 private:
  struct Connection {
    sqlite3* db = nullptr;
    bool foreign = false;
    bool reads = false;      // a read transaction stands open
    bool went_back = false;  // to a savepoint
  };

  void Open(bool foreign);
  void CloseAt(size_t i);
  void SetLevel(Connection* connection);
  int Exec(Connection* connection, const std::string& sql);
  std::string Ask(Connection* connection, const std::string& sql);
  Connection* Any();
  // One of Backstay's that does not read; null: there is none.
  Connection* Own();
  // False: others have the database.
  bool Prepare();
  void Step();
  void Transaction(Connection* connection);
  bool Change(Connection* connection);
  void Commit(Connection* connection);
  std::string Statement();
  bool IsLate(Connection* connection);
  void Checkpoint();
  void SwitchMode();
  void Vacuum();
  void Lock();
  void Read();
  void Sync();
  void Pause();

  const std::string path_;
  const Habits habits_;
  const bool foreign_;
  Random random_;
  bool prepared_ = false;
  std::vector<Connection> connections_;
  const bool sync_ = getenv("BACKSTAY_DURABILITY") != nullptr;
  uint64_t late_commits_ = 0;
  bool bare_ = false;  // the transaction may leave frames that SQLite drops after a crash
};

}  // namespace backstay::sim

#endif  // BACKSTAY_TESTS_SIM_APPLICATION_H_
