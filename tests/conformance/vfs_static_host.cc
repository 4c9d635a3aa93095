// A program, and with -DPLUGIN a plugin, that has its own SQLite linked in with nothing exported.
//
// usage: vfs_static_host DB [PLUGIN [SECOND_DB]]
// Writes to DB with its own copy; then loads the plugin as PHP loads its modules, with
// RTLD_DEEPBIND, and has it write to SECOND_DB (default: DB) with its copy. Prints nothing; exit 1
// on any error.

#include <dlfcn.h>
#include <sqlite3.h>

#include <cstdio>
#include <cstdlib>

namespace {

int Fail(const char* what, sqlite3* db) {
  fprintf(stderr, "%s: %s\n", what, sqlite3_errmsg(db));
  return 1;
}

int Write(const char* path) {
  sqlite3* db = nullptr;
  const char* sql =
      "PRAGMA busy_timeout=5000; PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t(x);"
      "INSERT INTO t VALUES(1); INSERT INTO t VALUES(2);";
  if (sqlite3_open(path, &db) != SQLITE_OK) return Fail("open", db);
  if (sqlite3_exec(db, sql, nullptr, nullptr, nullptr) != SQLITE_OK) return Fail("exec", db);
#ifdef PLUGIN
  return sqlite3_close(db);
#else
  return 0;  // stays open: the plugin writes beside it
#endif
}

}  // namespace

#ifdef PLUGIN

extern "C" __attribute__((visibility("default"))) int plugin_write(const char* path) {
  return Write(path);
}

// For a library that uses SQLite while it is being loaded.
__attribute__((constructor)) static void WriteAtLoad() {
  const char* path = getenv("VFS_PLUGIN_WRITES");
  if (path != nullptr && Write(path) != 0) abort();
}

// A call that a preloaded plugin passes on: goes wrong if dlsym() forgets who asks.
extern "C" __attribute__((visibility("default"))) int getppid() {
  static int depth = 0;
  if (++depth > 1) abort();
  auto* next = reinterpret_cast<int (*)()>(dlsym(RTLD_NEXT, "getppid"));
  const int result = next();
  --depth;
  return result;
}

#else

int main(int argc, char** argv) {
  if (argc < 2 || Write(argv[1]) != 0) return 1;
  if (argc < 3) return 0;
  void* plugin = dlopen(argv[2], RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  if (plugin == nullptr) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  auto* write = reinterpret_cast<int (*)(const char*)>(dlsym(plugin, "plugin_write"));
  return write(argc > 3 ? argv[3] : argv[1]);
}

#endif
