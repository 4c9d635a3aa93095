// An application on files that anybody may have damaged, before it starts and while it runs: with
// the shim and the engine behind it every statement gives what SQLite alone gives of the same
// files; what could be restored from the replica before still can, and what is said to be shipped
// is what is restored.

#include <sqlite3.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/fuzz/fixup.h"
#include "tests/fuzz/linked_engine.h"
#include "tests/fuzz/world.h"

namespace backstay {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kMaxOps = 24;
constexpr size_t kMaxRows = 200;
constexpr int kConnections = 2;
// Of time as quick_time.cc counts it. A WAL that cannot be read holds a statement up for 2 s.
constexpr auto kStatementBound = std::chrono::seconds(60);

constexpr const char* kStatements[] = {
    "SELECT count(*),sum(length(text)),max(id) FROM t",
    "INSERT INTO t(text) VALUES('new')",
    "UPDATE t SET text=text||'u' WHERE id%3=1",
    "DELETE FROM t WHERE id%4=2",
    "INSERT INTO t(text) SELECT text||text FROM t LIMIT 20",
    "PRAGMA wal_checkpoint(PASSIVE)",
    "PRAGMA wal_checkpoint(RESTART)",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA journal_mode=wal",
    "PRAGMA journal_mode=delete",
    "PRAGMA journal_mode=truncate",
    "PRAGMA journal_mode=memory",
    "PRAGMA locking_mode=exclusive",
    "PRAGMA locking_mode=normal",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "VACUUM",
    "CREATE TABLE IF NOT EXISTS u(a,b,c)",
    "INSERT INTO u VALUES(1,zeroblob(3000),3)",
    "DROP TABLE IF EXISTS u",
    "PRAGMA cache_size=1",
    "PRAGMA incremental_vacuum",
    "PRAGMA page_size=8192",
    "PRAGMA integrity_check(5)",
    "SELECT * FROM t",
    "PRAGMA auto_vacuum=full",
    "PRAGMA mmap_size=65536",
};
constexpr size_t kStatementCount = std::size(kStatements);

struct Op {
  enum Kind { kDamage, kStatement, kReopen, kSync } kind;
  Damage damage;
  int connection;
  size_t statement;
};

struct Script {
  size_t world;
  std::vector<Op> ops;
  bool replica_is_whole = true;  // nobody but us has changed it
  // Nor the database under the application, or while it was closed: behind its place in a WAL that
  // is still there the engine does not read the file again.
  bool files_are_whole = true;

  explicit Script(Input* input) : world(input->Byte() % Worlds().size()) {
    bool open = false;
    while (input->more() && ops.size() < kMaxOps) {
      const uint8_t code = input->Byte();
      Op op{};
      op.connection = code % kConnections;
      if (code < 0x60) {
        op.kind = Op::kDamage;
        op.damage = Damage::From(input, static_cast<Damage::Kind>(code % 8));
        // Cut or filled with lies it ends SQLite itself.
        if (open && op.damage.IsMapped()) continue;
        replica_is_whole = replica_is_whole && !op.damage.IsOfReplica();
        files_are_whole =
            files_are_whole && (op.damage.IsOfState() || (!open && op.damage.name != "app.db"));
      } else if (code < 0x68) {
        op.kind = Op::kReopen;
      } else if (code < 0x70) {
        op.kind = Op::kSync;
      } else {
        op.kind = Op::kStatement;
        op.statement = input->Byte() % kStatementCount;
      }
      open = open || op.kind != Op::kDamage;
      ops.push_back(std::move(op));
    }
  }
};

uint32_t Number(const std::string& bytes, size_t at, size_t n) {
  uint32_t number = 0;
  for (size_t i = at; i < at + n; i++) number = number << 8 | static_cast<uint8_t>(bytes[i]);
  return number;
}

// SQLite then reads beyond its own pages when it writes (3.40), and its answers and its life depend
// on what is there.
bool WalHasOtherPages(const Folder& folder) {
  const Files files = folder.Read();
  const auto database = files.find("app.db");
  const auto wal = files.find("app.db-wal");
  if (database == files.end() || wal == files.end()) return false;
  if (database->second.size() < 100 || wal->second.size() < 32) return false;
  const uint32_t size = Number(database->second, 16, 2);
  return Number(wal->second, 8, 4) != (size == 1 ? 65536 : size);
}

// One application, with the shim or without.
class Application {
 public:
  Application(const Folder& folder, const char* vfs) : folder_(folder), vfs_(vfs) {}
  ~Application() { Close(); }

  void Do(const Op& op) {
    const auto start = Clock::now();
    if (op.kind == Op::kDamage) op.damage.Do(folder_);
    if (op.kind == Op::kReopen) Close(op.connection);
    if (op.kind == Op::kStatement) Run(op.connection, Statement(op));
    Require(Clock::now() - start < kStatementBound);
  }
  void Run(int connection, const char* sql) {
    if (!Open(connection)) return;
    sqlite3_stmt* statement = nullptr;
    int rc = sqlite3_prepare_v2(db_[connection], sql, -1, &statement, nullptr);
    std::string told = std::string(sql) + ": ";
    for (size_t rows = 0;
         rc == SQLITE_OK && rows < kMaxRows && sqlite3_step(statement) == SQLITE_ROW; rows++) {
      for (int i = 0; i < sqlite3_column_count(statement); i++) {
        const unsigned char* text = sqlite3_column_text(statement, i);
        told += std::string(text != nullptr ? reinterpret_cast<const char*>(text) : "NULL") + ',';
      }
    }
    sqlite3_finalize(statement);
    told += std::to_string(sqlite3_extended_errcode(db_[connection]));
    results_.push_back(std::move(told));
  }
  // Everything that is committed is said to be in the replica.
  bool Sync() {
    for (sqlite3* db : db_) {
      if (db == nullptr || sqlite3_get_autocommit(db) == 0) continue;
      sqlite3_stmt* statement = nullptr;
      bool synced = false;
      if (sqlite3_prepare_v2(db, "PRAGMA backstay_sync(2000)", -1, &statement, nullptr) ==
              SQLITE_OK &&
          sqlite3_step(statement) == SQLITE_ROW) {
        synced = sqlite3_column_int(statement, 0) == 1;
      }
      sqlite3_finalize(statement);
      return synced;
    }
    return false;
  }
  void Close() {
    for (int i = 0; i < kConnections; i++) Close(i);
  }
  const std::vector<std::string>& results() const { return results_; }

 private:
  const char* Statement(const Op& op) const {
    return kStatements[WalHasOtherPages(folder_) ? 0 : op.statement];
  }
  bool Open(int connection) {
    sqlite3*& db = db_[connection];
    if (db != nullptr) return true;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI;
    const int rc = sqlite3_open_v2(folder_.Uri().c_str(), &db, flags, vfs_);
    results_.push_back("open: " + std::to_string(rc));
    if (rc == SQLITE_OK) return true;
    Close(connection);
    return false;
  }
  void Close(int connection) {
    sqlite3_close(db_[connection]);
    db_[connection] = nullptr;
  }

  const Folder& folder_;
  const char* const vfs_;
  sqlite3* db_[kConnections] = {};
  std::vector<std::string> results_;
};

struct Outcome {
  std::vector<std::string> results;
  bool shipped = false;
};

Outcome RunIn(const Folder& folder, const Script& script, const char* vfs) {
  const bool shimmed = vfs != nullptr;
  Outcome outcome;
  Application application(folder, vfs);
  for (const Op& op : script.ops) {
    application.Do(op);
    if (op.kind == Op::kSync && shimmed) (void)application.Sync();
  }
  if (shimmed) outcome.shipped = application.Sync();
  application.Close();
  outcome.results = application.results();
  return outcome;
}

// What an application finds that comes later, and the database in one file.
std::vector<std::string> Later(const Folder& folder) {
  Application application(folder, nullptr);
  for (const char* sql :
       {"SELECT * FROM t", "SELECT count(*) FROM u", "PRAGMA wal_checkpoint(TRUNCATE)"}) {
    application.Run(0, sql);
  }
  return application.results();
}

void Tell(const char* what, const std::vector<std::string>& lines) {
  fprintf(stderr, "---- %s\n", what);
  for (const std::string& line : lines) fprintf(stderr, "%s\n", line.c_str());
}

void RequireEqual(const std::vector<std::string>& alone, const std::vector<std::string>& shimmed) {
  if (alone == shimmed) return;
  Tell("SQLite alone", alone);
  Tell("with the shim", shimmed);
  Require(false);
}

// The file may be longer than the database (fileformat2.html, 1.3.8).
void RequireShipped(const Folder& folder) {
  const std::string restored = Restored(folder, 0);
  const std::string file = folder.Read()["app.db"];
  Require(!restored.empty() && restored.size() <= file.size());
  Require(file.compare(0, restored.size(), restored) == 0);
}

void Try(Input* input) {
  const Script script(input);
  const World& world = Worlds()[script.world];
  Folder alone("alone");
  Folder shimmed("app");
  alone.Fill(world);
  shimmed.Fill(world);
  const Outcome expected = RunIn(alone, script, nullptr);
  const Outcome outcome = RunIn(shimmed, script, ShimVfs());
  EndEngine();
  RequireEqual(expected.results, outcome.results);
  const std::vector<std::string> later = Later(shimmed);
  RequireEqual(Later(alone), later);
  if (!script.replica_is_whole) return;
  Require(Restored(shimmed, world.txid) == world.image);
  // A database that SQLite cannot read is none that could be equal.
  const bool readable = later.back().find(": 0,") != std::string::npos;
  if (outcome.shipped && script.files_are_whole && readable) RequireShipped(shimmed);
}

}  // namespace
}  // namespace backstay

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  // What a file says of its size must not decide how much memory SQLite takes.
  sqlite3_hard_heap_limit64(64 << 20);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  backstay::Input input(data, size);
  backstay::Try(&input);
  return 0;
}
