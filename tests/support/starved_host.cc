// An application with the shim linked in that runs out of memory at the shim's n-th allocation.
//
// usage: starved_host DB N once|lasting
// once: that allocation alone fails; lasting: all behind it, too, until memory is back. SQLite's
// own never do (it asks malloc()), so every statement must succeed; only Backstay's own functions
// may report NOMEM. With memory back, it writes once more and waits for the bucket; then it fails
// as before until the process is gone. Exit 0; 3 when there is no n-th allocation; 1, and a line on
// stderr, when anything is wrong.

#include <sqlite3.h>
#include <sys/prctl.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "tests/support/failing_new.h"

extern "C" int sqlite3_backstay_init(sqlite3* db, char** error, const sqlite3_api_routines* api);

namespace {

constexpr const char* kThread = "application";
constexpr int kNothingFailed = 3;

// Nothing here allocates by itself: what fails is the shim's.
[[noreturn]] void Fail(const char* what, const char* why) {
  fprintf(stderr, "starved_host: %s: %s\n", what, why);
  _Exit(1);
}

class Connection {
 public:
  explicit Connection(const char* name) {
    constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_URI;
    if (sqlite3_open_v2(name, &db_, kFlags, nullptr) != SQLITE_OK) Fail(name, sqlite3_errmsg(db_));
    sqlite3_busy_timeout(db_, 10000);
  }
  ~Connection() {
    if (sqlite3_close(db_) != SQLITE_OK) Fail("close", sqlite3_errmsg(db_));
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  sqlite3* db() const { return db_; }
  void Run(const char* sql) {
    if (sqlite3_exec(db_, sql, nullptr, nullptr, nullptr) != SQLITE_OK)
      Fail(sql, sqlite3_errmsg(db_));
  }
  // Whether the answer has this in it; not without memory for one.
  bool Says(const char* sql, const char* part) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr) != SQLITE_OK) return false;
    const bool row = sqlite3_step(statement) == SQLITE_ROW;
    const char* text = row ? reinterpret_cast<const char*>(sqlite3_column_text(statement, 0)) : "";
    const bool says = text != nullptr && strstr(text, part) != nullptr;
    sqlite3_finalize(statement);
    return says;
  }
  // Of Backstay's own functions: -1 when it has no memory for an answer.
  int Ask(const char* sql) {
    sqlite3_stmt* statement = nullptr;
    int rc = sqlite3_prepare_v2(db_, sql, -1, &statement, nullptr);
    if (rc != SQLITE_OK) Fail(sql, sqlite3_errmsg(db_));
    rc = sqlite3_step(statement);
    const int answer = rc == SQLITE_ROW ? sqlite3_column_int(statement, 0) : -1;
    if (rc != SQLITE_ROW && rc != SQLITE_NOMEM) Fail(sql, sqlite3_errmsg(db_));
    sqlite3_finalize(statement);
    return answer;
  }

 private:
  sqlite3* db_ = nullptr;
};

void Insert(Connection* c) { c->Run("INSERT INTO t(text) VALUES(hex(randomblob(300)))"); }

// Everything that the shim has a part in.
void Use(const char* path, const char* uri, bool loaded, bool lasting) {
  {
    Connection c(path);
    c.Run("PRAGMA journal_mode=wal; SELECT * FROM t");
    Insert(&c);
    Insert(&c);
    const bool starved = loaded && c.Says("SELECT backstay_status()", "out of memory");
    if (starved && !lasting) Fail("backstay_status()", "no commit has asked again");
    const bool unasked =
        loaded && c.Says("SELECT backstay_status()", "nothing was read or written");
    if (unasked && !lasting) Fail("backstay_status()", "nobody has asked");
    Connection other(path);
    Insert(&other);
    other.Run("BEGIN; DELETE FROM t WHERE id = 1; ROLLBACK; PRAGMA wal_checkpoint(TRUNCATE)");
    Insert(&c);
    if (loaded) {
      c.Ask("SELECT backstay_status()");
      c.Ask("SELECT backstay_sync(100)");
      c.Ask("SELECT backstay_version()");
    }
    c.Run("VACUUM");
  }
  Connection c(uri);
  c.Run("ATTACH ':memory:' AS m; CREATE TABLE m.t(x); DETACH m");
  for (const char* mode : {"PRAGMA journal_mode=delete", "PRAGMA journal_mode=truncate",
                           "PRAGMA journal_mode=persist", "PRAGMA journal_mode=wal"}) {
    c.Run(mode);
    Insert(&c);
    c.Run("BEGIN; UPDATE t SET text = 'x'; SAVEPOINT s; DELETE FROM t; ROLLBACK TO s; COMMIT");
  }
  c.Run("PRAGMA locking_mode=exclusive");
  Insert(&c);
  c.Run("PRAGMA locking_mode=normal");
  Insert(&c);
}

const sqlite3_api_routines* sqlite_api = nullptr;

int KeepApi(sqlite3*, char**, const sqlite3_api_routines* api) {
  sqlite_api = api;
  return SQLITE_OK;
}

// As sqlite3_load_extension() does. False: there was no memory; the process goes on without.
bool Load(Connection* c) {
  char* error = nullptr;
  const int rc = sqlite3_backstay_init(c->db(), &error, sqlite_api);
  sqlite3_free(error);
  return rc == SQLITE_OK_LOAD_PERMANENTLY;
}

int Main(const char* path, uint32_t n, bool lasting) {
  const std::string uri = std::string("file:") + path + "?cache=private";
  prctl(PR_SET_NAME, kThread);
  backstay::fail_on = kThread;
  backstay::fail_from_there = lasting;
  sqlite3_auto_extension(reinterpret_cast<void (*)()>(&KeepApi));
  bool loaded = false;
  {
    // Adopted with its WAL open.
    Connection c(path);
    c.Run("PRAGMA journal_mode=wal; CREATE TABLE t(id INTEGER PRIMARY KEY, text)");
    backstay::fail_at = n;
    loaded = Load(&c);
    Insert(&c);
  }
  Use(path, uri.c_str(), loaded, lasting);
  const bool failed = backstay::fail_at == (lasting ? 1 : 0);
  backstay::fail_at = 0;
  Connection last(path);
  if (!loaded && !Load(&last)) Fail("load", "not with memory, either");
  Connection c(path);
  Insert(&c);
  if (c.Ask("SELECT backstay_sync(60000)") != 1) Fail("backstay_sync(60000)", "not in the bucket");
  backstay::fail_at = 1;
  return failed ? 0 : kNothingFailed;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return fprintf(stderr, "usage: starved_host DB N once|lasting\n"), 2;
  return Main(argv[1], static_cast<uint32_t>(strtoul(argv[2], nullptr, 10)),
              strcmp(argv[3], "lasting") == 0);
}
