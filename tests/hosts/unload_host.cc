// A host that unloads its SQLite, as PHP and Mono do.
//
// usage: unload_host DB LIBRARY…
// For each library in turn: loads it, writes a row with the SQLite in it, closes the database,
// unloads the library. Says "gone" or "stays", by whether its code is still mapped. Exit 1 on any
// error.

#include <dlfcn.h>

#include <cstdio>

namespace {

using Open = int (*)(const char*, void**);
using Exec = int (*)(void*, const char*, void*, void*, char**);
using Close = int (*)(void*);

bool Write(void* library, const char* path) {
  auto open = reinterpret_cast<Open>(dlsym(library, "sqlite3_open"));
  auto exec = reinterpret_cast<Exec>(dlsym(library, "sqlite3_exec"));
  auto close = reinterpret_cast<Close>(dlsym(library, "sqlite3_close"));
  constexpr const char* kSql =
      "PRAGMA journal_mode=wal; CREATE TABLE IF NOT EXISTS t(x); INSERT INTO t VALUES(1)";
  void* db = nullptr;
  return open(path, &db) == 0 && exec(db, kSql, nullptr, nullptr, nullptr) == 0 && close(db) == 0;
}

bool Use(const char* name, const char* path) {
  void* library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return fprintf(stderr, "%s\n", dlerror()), false;
  if (!Write(library, path)) return fprintf(stderr, "cannot write with %s\n", name), false;
  dlclose(library);
  puts(dlopen(name, RTLD_NOW | RTLD_NOLOAD) != nullptr ? "stays" : "gone");
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  for (int i = 2; i < argc; i++) {
    if (!Use(argv[i], argv[1])) return 1;
  }
  return argc < 3 ? 2 : 0;
}
