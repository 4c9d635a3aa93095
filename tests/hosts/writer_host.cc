// A plain program that writes to a database, linked to SQLite and to nothing of ours.
//
// usage: writer_host DB [EXTENSION]
// Loads the extension, if one is named, opens the database twice, writes with both connections, and
// ends with them open. Exit 1, and a line on stderr, if anything fails. CLEAR_ENVIRONMENT=1: its
// environment is empty before it opens anything but the extension. With -DADDON: an addon of
// Node.js that does the same to WRITER_DB when it is loaded.

#include <sqlite3.h>

#include <cstdio>
#include <cstdlib>

namespace {

[[noreturn]] void Fail(const char* what, sqlite3* db) {
  fprintf(stderr, "writer_host: %s: %s\n", what, sqlite3_errmsg(db));
  exit(1);
}

sqlite3* Open(const char* name) {
  sqlite3* db = nullptr;
  if (sqlite3_open(name, &db) != SQLITE_OK) Fail(name, db);
  sqlite3_busy_timeout(db, 10000);
  return db;
}

void Run(sqlite3* db, const char* sql) {
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) Fail(sql, db);
}

void Load(const char* extension) {
  sqlite3* db = Open(":memory:");
  sqlite3_enable_load_extension(db, 1);
  if (sqlite3_load_extension(db, extension, nullptr, nullptr) != SQLITE_OK) Fail(extension, db);
  sqlite3_close(db);
}

int Main(const char* path, const char* extension) {
  const bool clear = getenv("CLEAR_ENVIRONMENT") != nullptr;
  if (extension != nullptr) Load(extension);
  if (clear) clearenv();
  sqlite3* first = Open(path);
  Run(first, "PRAGMA journal_mode=wal; CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES(1)");
  sqlite3* second = Open(path);
  Run(second, "INSERT INTO t VALUES(2)");
  Run(first, "INSERT INTO t SELECT hex(randomblob(1000)) FROM t");
  return 0;
}

}  // namespace

#ifdef ADDON

extern "C" __attribute__((visibility("default"))) void* napi_register_module_v1(void*,
                                                                                void* exports) {
  Main(getenv("WRITER_DB"), getenv("WRITER_EXTENSION"));
  return exports;
}

#else

int main(int argc, char** argv) {
  return argc < 2 ? 2 : Main(argv[1], argc > 2 ? argv[2] : nullptr);
}

#endif
