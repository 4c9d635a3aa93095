// SqliteCopy: what the shim needs from one copy of SQLite in the process, besides its VFS objects.
//
// A process may hold several copies (one linked into the program, one in libsqlite3.so); memory
// that one copy frees must come from that copy. Filled once before the first hook, then constant;
// any thread reads. Never freed.

#ifndef BACKSTAY_VFS_SQLITE_COPY_H_
#define BACKSTAY_VFS_SQLITE_COPY_H_

#include <string>

namespace backstay {

struct SqliteCopy {
  int version = 0;         // sqlite3_libversion_number(); 0: unknown
  bool threadsafe = true;  // false: files may be closed on the application's threads only
  // sqlite3_malloc() and sqlite3_free() of this copy; NULL when they cannot be reached.
  void* (*alloc)(int n) = nullptr;
  void (*free)(void* p) = nullptr;

  // The text in this copy's memory; NULL when there is no allocator or no memory.
  char* Text(const std::string& text) const noexcept;
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_SQLITE_COPY_H_
