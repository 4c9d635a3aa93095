// A whole application in one process, so that sanitizers see every thread: writers, checkpoints,
// the shim, the engine, and then a restore.

#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/temp_folder.h"
#include "uploader/base/file.h"

namespace backstay {
namespace {

using Rows = std::vector<std::string>;

Rows Query(sqlite3* db, const std::string& sql) {
  Rows rows;
  auto collect = [](void* out, int n, char** values, char**) {
    std::string row;
    for (int i = 0; i < n; ++i)
      row += (values[i] != nullptr ? values[i] : "NULL") + std::string("|");
    static_cast<Rows*>(out)->push_back(row);
    return 0;
  };
  char* error = nullptr;
  int rc = sqlite3_exec(db, sql.c_str(), collect, &rows, &error);
  // REQUIRE of Catch2 is not for several threads; a failed statement must end the test all the
  // same.
  if (rc != SQLITE_OK) {
    fprintf(stderr, "%s: %s\n", sql.c_str(), error);
    abort();
  }
  sqlite3_free(error);
  return rows;
}

sqlite3* Open(const std::string& path) {
  sqlite3* db = nullptr;
  if (sqlite3_open(path.c_str(), &db) != SQLITE_OK) abort();
  sqlite3_busy_timeout(db, 60000);
  Query(db, "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL");
  return db;
}

void LoadExtension() {
  sqlite3* loader = nullptr;
  REQUIRE(sqlite3_open(":memory:", &loader) == SQLITE_OK);
  sqlite3_db_config(loader, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 1, nullptr);
  char* error = nullptr;
  int rc = sqlite3_load_extension(loader, BACKSTAY_EXTENSION, nullptr, &error);
  INFO((error != nullptr ? error : ""));
  REQUIRE(rc == SQLITE_OK);
  sqlite3_close(loader);
}

void Write(const std::string& path, int writer, int transactions) {
  sqlite3* db = Open(path);
  for (int i = 0; i < transactions; ++i) {
    std::string id = std::to_string(writer);
    Query(db, "BEGIN IMMEDIATE; INSERT INTO t(writer, v) VALUES(" + id + ", hex(randomblob(" +
                  std::to_string(20 + i * 37 % 3000) +
                  ")));"
                  "UPDATE t SET v = upper(v) || 'x' WHERE id % 17 = " +
                  std::to_string(i % 17) + " AND writer = " + id + ";" +
                  (i % 9 == 8 ? "ROLLBACK" : "COMMIT"));
    if (i % 40 == 39) Query(db, "DELETE FROM t WHERE id % 5 = 0 AND writer = " + id);
  }
  sqlite3_close(db);
}

std::string RestoredPath(const TempFolder& folder, const std::string& url) {
  std::string out = folder / "restored.db";
  std::string command = std::string(BACKSTAY_TOOL) + " restore -force -o " + out + " " + url;
  int status = system(command.c_str());  // NOLINT: the tool is what a user runs
  REQUIRE(WIFEXITED(status));
  REQUIRE(WEXITSTATUS(status) == 0);
  return out;
}

void CheckRestored(const TempFolder& folder, sqlite3* db, const std::string& url) {
  std::string path = RestoredPath(folder, url);
  sqlite3* restored = nullptr;
  REQUIRE(sqlite3_open_v2(path.c_str(), &restored, SQLITE_OPEN_READWRITE, "unix") == SQLITE_OK);
  CHECK(Query(restored, "PRAGMA integrity_check") == Rows{"ok|"});
  INFO(ReadFile(folder / "log", 1 << 20).value_or(""));
  const char* last = "SELECT count(*), max(id) FROM t";
  CHECK(Query(restored, last) == Query(db, last));
  const char* all =
      "SELECT id, writer, length(v), substr(v, 1, 8), substr(v, -8) FROM t ORDER BY id";
  CHECK((Query(restored, all) == Query(db, all)));
  sqlite3_close(restored);
}

void Storm(const std::string& path, int transactions) {
  std::vector<std::thread> writers;
  for (int i = 0; i < 3; ++i) writers.emplace_back(Write, path, i, transactions);
  std::atomic<bool> over{false};
  std::thread other([&] {
    while (!over) {
      sqlite3* db = Open(path);
      Query(db, "PRAGMA wal_checkpoint(TRUNCATE); PRAGMA backstay_status; PRAGMA backstay_sync");
      sqlite3_close(db);
    }
  });
  for (std::thread& writer : writers) writer.join();
  over = true;
  other.join();
}

TEST_CASE("Writers, checkpoints, closes and syncs at once lose nothing") {
  TempFolder folder;
  std::string path = folder / "app.db";
  std::string url = "file://" + (folder / "replica");
  setenv("BACKSTAY_DB", path.c_str(), 1);
  setenv("BACKSTAY_REPLICA_URL", url.c_str(), 1);
  setenv("BACKSTAY_MIN_INTERVAL", "5ms", 1);
  setenv("BACKSTAY_LOG_FILE", (folder / "log").c_str(), 1);
  LoadExtension();

  sqlite3* db = Open(path);
  Query(db,
        "CREATE TABLE t(id INTEGER PRIMARY KEY, writer INTEGER, v TEXT); CREATE INDEX tv ON t(v)");
  Storm(path, 60);
  REQUIRE(Query(db, "SELECT backstay_sync(60000)") == Rows{"1|"});
  CheckRestored(folder, db, url);

  Query(db, "VACUUM");
  Storm(path, 40);
  sqlite3_close(db);  // the last connection: the WAL goes
  db = Open(path);
  Query(db, "INSERT INTO t(writer, v) VALUES(9, 'after reopening')");
  REQUIRE(Query(db, "SELECT backstay_sync(60000)") == Rows{"1|"});
  CheckRestored(folder, db, url);
  CHECK(Query(db, "PRAGMA integrity_check") == Rows{"ok|"});
  sqlite3_close(db);
}

}  // namespace
}  // namespace backstay
