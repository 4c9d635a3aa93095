#include "tests/sim/application.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <string_view>
#include <thread>
#include <utility>

#include "tests/sim/turns.h"
#include "uploader/base/hash.h"

namespace backstay::sim {
namespace {

constexpr size_t kMostConnections = 4;

std::string Column(sqlite3* db, const std::string& sql, std::string* all) {
  sqlite3_stmt* statement = nullptr;
  std::string first;
  if (sqlite3_prepare_v2(db, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) return "?";
  int rc = SQLITE_OK;
  while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
    for (int i = 0; i < sqlite3_column_count(statement); ++i) {
      const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement, i));
      const auto n = static_cast<size_t>(sqlite3_column_bytes(statement, i));
      const std::string value = bytes != nullptr ? std::string(bytes, n) : "";
      if (first.empty()) first = value;
      if (all != nullptr) all->append(value).append(1, '|');
    }
  }
  sqlite3_finalize(statement);
  return rc == SQLITE_DONE ? first : "?";
}

std::string Number(int64_t n) { return std::to_string(n); }

// While it lives this process is in the middle of SQL.
class Inside {
 public:
  Inside() { CountStatement(); }
  ~Inside() { CountStatement(); }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
};

}  // namespace

Habits::Habits(Random* random)
    : shares({50, 10, 4, 3, 2, 3, 7, 9, 7, 1, 4}), small(random->Chance(300)) {
  if (random->Chance(400)) return;
  static const std::array<uint64_t, 6> factors = {0, 1, 1, 1, 2, 6};
  for (uint64_t& share : shares) share *= factors[random->Below(factors.size())];
  // Without them nothing would come of the rest.
  for (const Action least : {kTransact, kSync, kOpen, kClose})
    shares[least] = std::max<uint64_t>(shares[least], 4);
  static const std::array<uint64_t, 3> foreign = {0, 250, 600};
  foreign_per_mille = foreign[random->Below(foreign.size())];
}

std::string DigestOf(sqlite3* db) {
  std::string all;
  if (Column(db, "SELECT name, sql FROM sqlite_schema ORDER BY name", &all) == "?") return "";
  std::string tables;
  if (Column(db, "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name", &tables) ==
      "?")
    return "";
  for (size_t at = 0; at < tables.size();) {
    const size_t end = tables.find('|', at);
    const std::string table = tables.substr(at, end - at);
    if (Column(db, "SELECT * FROM " + table + " ORDER BY 1", &all) == "?") return "";
    at = end + 1;
  }
  std::array<char, 20> text{};
  snprintf(text.data(), text.size(), "%016llx",
           static_cast<unsigned long long>(Hash(AsBytes(all))));
  return text.data();
}

void Application::Open(bool foreign) {
  const Inside inside;
  Connection connection;
  connection.foreign = foreign = foreign || foreign_;
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
  if (sqlite3_open_v2(path_.c_str(), &connection.db, flags, foreign ? "unix" : nullptr) !=
      SQLITE_OK) {
    Note(Kind::kViolation, "the database cannot be opened");
    return;
  }
  sqlite3_busy_timeout(connection.db, static_cast<int>(random_.Below(3) * 20));
  connections_.push_back(connection);
  static const std::array<const char*, 4> sizes = {"0", "10", "50", "1000"};
  Connection* opened = &connections_.back();
  SetLevel(opened);
  Exec(opened, std::string("PRAGMA wal_autocheckpoint=") + sizes[random_.Below(4)]);
  if (random_.Chance(400)) Exec(opened, "PRAGMA cache_size=" + Number(random_.Between(2, 20)));
}

// Where the power may be cut what is committed has to stay, but for the last commits in a WAL.
void Application::SetLevel(Connection* connection) {
  static const std::array<const char*, 3> levels = {"off", "normal", "full"};
  const char* level = levels[random_.Below(3)];
  if (world->cuts != World::kNone) level = "extra";
  if (world->cuts == World::kLoose && Ask(connection, "PRAGMA journal_mode") == "wal")
    level = "normal";
  Exec(connection, std::string("PRAGMA synchronous=") + level);
}

void Application::CloseAt(size_t i) {
  const Inside inside;
  Say("%s closes", connections_[i].foreign ? "foreign" : "app");
  sqlite3_close(connections_[i].db);
  connections_.erase(connections_.begin() + static_cast<int64_t>(i));
}

int Application::Exec(Connection* connection, const std::string& sql) {
  const Inside inside;
  world->actions++;
  const int rc = sqlite3_exec(connection->db, sql.c_str(), nullptr, nullptr, nullptr);
  Say("%s %d: %.300s%s%s", connection->foreign ? "foreign" : "app",
      static_cast<int>(connection - connections_.data()), sql.c_str(),
      rc != SQLITE_OK ? " -> " : "", rc != SQLITE_OK ? sqlite3_errmsg(connection->db) : "");
  // 3.40 does that by itself to what a savepoint has left in a connection's cache (--without 1).
  if (rc == SQLITE_CORRUPT && connection->went_back) return Note(Kind::kRuined, sql), rc;
  if (rc != SQLITE_OK && rc != SQLITE_BUSY && rc != SQLITE_LOCKED && rc != SQLITE_ERROR) {
    Note(Kind::kViolation,
         "the application got: " + std::string(sqlite3_errmsg(connection->db)) + ", from " + sql);
  }
  return rc;
}

std::string Application::Ask(Connection* connection, const std::string& sql) {
  const Inside inside;
  world->actions++;
  std::string answer = Column(connection->db, sql, nullptr);
  Say("%s %d: %s = %s", connection->foreign ? "foreign" : "app",
      static_cast<int>(connection - connections_.data()), sql.c_str(), answer.c_str());
  return answer;
}

Application::Connection* Application::Any() {
  return &connections_[random_.Below(connections_.size())];
}

Application::Connection* Application::Own() {
  for (Connection& connection : connections_) {
    if (!connection.foreign && !connection.reads) return &connection;
  }
  return nullptr;
}

bool Application::Prepare() {
  Open(random_.Chance(50));
  if (connections_.empty()) return false;
  Connection* first = &connections_.front();
  const bool alone = !OthersLive();
  if (!alone && Exec(first, "BEGIN IMMEDIATE") != SQLITE_OK) return false;
  std::string found = DigestOf(first->db);
  Note(Kind::kFound, found);
  Say("finds %s", found.c_str());
  if (!alone && Exec(first, "COMMIT") != SQLITE_OK) Exec(first, "ROLLBACK");
  if (Ask(first, "SELECT count(*) FROM sqlite_schema WHERE name = 'seq'") != "0") return true;
  static const std::array<const char*, 4> sizes = {"512", "1024", "4096", "8192"};
  Exec(first, std::string("PRAGMA page_size=") + sizes[random_.Below(4)]);
  if (random_.Chance(200)) Exec(first, "PRAGMA auto_vacuum=incremental");
  if (random_.Chance(700)) Exec(first, "PRAGMA journal_mode=wal");
  SetLevel(first);
  if (Exec(first, "BEGIN IMMEDIATE") != SQLITE_OK) return false;
  if (Exec(first,
           "CREATE TABLE seq(n INTEGER); INSERT INTO seq VALUES(0);"
           "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b); CREATE INDEX i ON t(a)") == SQLITE_OK)
    Commit(first);
  else
    Exec(first, "ROLLBACK");
  return true;
}

void Application::Run(int steps) {
  for (int i = 0; i < steps; ++i) {
    if (!prepared_) {
      prepared_ = Prepare();
      if (!prepared_) Close();
      if (!prepared_) Pause();
      continue;
    }
    if (connections_.empty()) Open(false);
    if (connections_.empty()) return;
    Step();
  }
}

void Application::Close() {
  while (!connections_.empty()) CloseAt(random_.Below(connections_.size()));
}

void Application::Step() {
  uint64_t all = 0;
  for (const uint64_t share : habits_.shares) all += share;
  uint64_t dice = random_.Below(all);
  size_t action = 0;
  while (dice >= habits_.shares[action]) dice -= habits_.shares[action++];
  switch (action) {
    case Habits::kTransact: return Transaction(Any());
    case Habits::kCheckpoint: return Checkpoint();
    case Habits::kSwitchMode: return SwitchMode();
    case Habits::kVacuum: return Vacuum();
    case Habits::kLock: return Lock();
    case Habits::kRead: return Read();
    case Habits::kSync: return Sync();
    case Habits::kPause: return Pause();
    case Habits::kOpen:
      if (connections_.size() < kMostConnections) Open(random_.Chance(habits_.foreign_per_mille));
      return;
    case Habits::kCloseAll: return Close();
    default: return CloseAt(random_.Below(connections_.size()));
  }
}

std::string Application::Statement() {
  const std::string low = Number(random_.Between(1, 300));
  const std::string row = "randomblob(" + Number(random_.Between(1, 400)) + ")";
  switch (habits_.small ? 6 + random_.Below(3) : random_.Below(9)) {
    case 0: return "DELETE FROM t WHERE id % " + Number(random_.Between(2, 40)) + " = 1";
    case 1:
      return "UPDATE t SET b = " + row + " WHERE id % " + Number(random_.Between(2, 50)) + " = 0";
    case 2: return "UPDATE t SET a = a + 1 WHERE id BETWEEN " + low + " AND " + low + " + 5";
    case 3:
      return "INSERT INTO t(a, b) WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n "
             "WHERE i < " +
             Number(random_.Between(2, 150)) + ") SELECT i, " + row + " FROM n";
    case 4:
      return "INSERT INTO t(a, b) VALUES(0, randomblob(" + Number(random_.Between(5000, 60000)) +
             "))";
    case 5: return "DELETE FROM t WHERE length(b) > 3000";
    case 6: return "DELETE FROM t WHERE id > 600";
    default: return "INSERT INTO t(a, b) VALUES(" + low + ", " + row + ")";
  }
}

bool Application::Change(Connection* connection) {
  for (int64_t i = random_.Between(1, 4); i > 0; --i) {
    const bool partly = random_.Chance(150);
    if (partly && Exec(connection, "SAVEPOINT s") != SQLITE_OK) return false;
    if (Exec(connection, Statement()) != SQLITE_OK) return false;
    const bool back = partly && random_.Chance(600);
    if (back && Exec(connection, "ROLLBACK TO s") != SQLITE_OK) return false;
    bare_ = bare_ || back;
    connection->went_back = connection->went_back || back;
    if (partly && Exec(connection, "RELEASE s") != SQLITE_OK) return false;
  }
  return true;
}

void Application::Transaction(Connection* connection) {
  if (connection->reads) {
    Exec(connection, "COMMIT");
    connection->reads = false;
  }
  if (Exec(connection, random_.Chance(500) ? "BEGIN IMMEDIATE" : "BEGIN") != SQLITE_OK) return;
  bare_ = false;
  if (Change(connection) && !random_.Chance(100)) return Commit(connection);
  if (sqlite3_get_autocommit(connection->db) == 0) Exec(connection, "ROLLBACK");
}

void Application::Commit(Connection* connection) {
  bool done = Exec(connection, "UPDATE seq SET n = n + 1") == SQLITE_OK;
  const std::string digest = DigestOf(connection->db);
  if (done) {
    Note(Kind::kBegins, digest, Column(connection->db, "SELECT n FROM seq", nullptr));
    done = Exec(connection, "COMMIT") == SQLITE_OK;
  }
  if (done) {
    const bool loose = bare_ || world->cuts == World::kLoose;
    Note(Kind::kCommitted, digest, loose ? "bare" : "");
    Say("committed %s", digest.c_str());
    if (sync_ && !connection->foreign && !IsLate(connection)) Note(Kind::kSafe, "");
    return;
  }
  if (sqlite3_get_autocommit(connection->db) == 0) Exec(connection, "ROLLBACK");
  Note(Kind::kBegins, "");
}

// The last commit returned before every replica had it, or it is not known whether.
bool Application::IsLate(Connection* connection) {
  constexpr std::string_view kName = "\"late_commits\":";
  const std::string status = Column(connection->db, "PRAGMA backstay_status", nullptr);
  const size_t at = status.find(kName);
  if (at == std::string::npos) return true;
  const uint64_t late = std::strtoull(status.c_str() + at + kName.size(), nullptr, 10);
  return std::exchange(late_commits_, late) != late;
}

void Application::Checkpoint() {
  static const std::array<const char*, 4> modes = {"PASSIVE", "FULL", "RESTART", "TRUNCATE"};
  Connection* connection = Any();
  if (!connection->reads)
    Exec(connection, std::string("PRAGMA wal_checkpoint(") + modes[random_.Below(4)] + ")");
}

void Application::SwitchMode() {
  if (world->cuts == World::kLoose) return;
  static const std::array<const char*, 4> modes = {"wal", "delete", "truncate", "persist"};
  // Only a lone connection can leave WAL mode.
  while (connections_.size() > 1 && random_.Chance(900)) CloseAt(connections_.size() - 1);
  Connection* connection = Any();
  if (connection->reads) return;
  // SQLite goes on with pages that it read before others committed when it leaves WAL mode without
  // a read in between, and damages the database (seen with 3.40.1 alone).
  Exec(connection, "PRAGMA shrink_memory");
  Ask(connection,
      std::string("PRAGMA journal_mode=") + modes[random_.Chance(400) ? 0 : random_.Below(4)]);
}

void Application::Vacuum() {
  static const std::array<const char*, 4> sizes = {"512", "1024", "4096", "8192"};
  Connection* connection = Any();
  if (connection->reads) return;
  // Takes effect without a WAL alone.
  if (random_.Chance(150))
    Exec(connection, std::string("PRAGMA page_size=") + sizes[random_.Below(4)]);
  Exec(connection, random_.Chance(300) ? "PRAGMA incremental_vacuum(5)" : "VACUUM");
}

void Application::Lock() {
  if (connections_.size() > 1 && random_.Chance(700)) return;
  Connection* connection = Any();
  if (connection->reads) return;
  Ask(connection,
      std::string("PRAGMA locking_mode=") + (random_.Chance(500) ? "EXCLUSIVE" : "NORMAL"));
}

void Application::Read() {
  Connection* connection = Any();
  if (connection->reads) {
    Exec(connection, "COMMIT");
    connection->reads = false;
    return;
  }
  if (Exec(connection, "BEGIN") != SQLITE_OK) return;
  connection->reads = Exec(connection, "SELECT n FROM seq") == SQLITE_OK;
  if (!connection->reads) Exec(connection, "ROLLBACK");
}

void Application::Sync() {
  Connection* connection = Own();
  if (connection == nullptr) return;
  const std::string ms = Number(random_.Chance(700) ? 30'000 : random_.Between(0, 500));
  const Statements before = OfOthers();
  Note(Kind::kAsks, "");
  if (Ask(connection, "PRAGMA backstay_sync=" + ms) != "1") return;
  // By a connection without a cache: one that has freed a page may hold another image of it than
  // any file.
  sqlite3* fresh = nullptr;
  sqlite3_int64 size = 0;
  unsigned char* image = nullptr;
  if (sqlite3_open_v2(path_.c_str(), &fresh, SQLITE_OPEN_READWRITE, "unix") == SQLITE_OK) {
    image = sqlite3_serialize(fresh, "main", &size, 0);
    if (image == nullptr) size = 0;
  }
  // In EXCLUSIVE locking mode nobody else reads.
  const std::string digest = DigestOf(image != nullptr ? fresh : connection->db);
  const auto* bytes = reinterpret_cast<const char*>(image);
  const Statements after = OfOthers();
  const bool alone = !before.inside && !after.inside && before.count == after.count;
  if (!alone)
    Note(Kind::kSynced, "");
  else if (!digest.empty())
    Note(Kind::kSynced, digest,
         image != nullptr ? std::string(bytes, static_cast<size_t>(size)) : "");
  sqlite3_free(image);
  sqlite3_close(fresh);
}

void Application::Pause() {
  static const std::array<int64_t, 4> most = {5, 300, 3000, 60'000};
  const int64_t ms = random_.Between(1, most[random_.Below(4)]);
  Say("%lld ms pass", static_cast<long long>(ms));
  std::this_thread::sleep_for(std::chrono::milliseconds(ms));
}

}  // namespace backstay::sim
