// Finding SQLite in a process without its help: the `unix` VFS objects in the loaded modules' data.
//
// A copy of SQLite may be linked statically and stripped, its symbols hidden; but its unix VFSes
// are an array of sqlite3_vfs structures in writable memory, with names, sizes and functions that
// all lie in the same module. Used by preload.cc, from a constructor and in the middle of other
// libraries' loading: allocates nothing, takes no lock but the dynamic linker's, never throws.

#ifndef BACKSTAY_VFS_VFS_SCAN_H_
#define BACKSTAY_VFS_VFS_SCAN_H_

#include <sqlite3.h>

#include <array>
#include <cstddef>

#include "vfs/shim_vfs.h"

namespace backstay {

struct FoundVfses {
  std::array<sqlite3_vfs*, kMaxHooks> objects;
  size_t count = 0;
  bool all = true;  // there are no more
};

// The unix VFS objects of all modules that are loaded now. A module counts only if it has "unix"
// and "unix-excl", which every build of SQLite for Unix has.
FoundVfses FindUnixVfses() noexcept;

// Grows with every library that is loaded: if it has not changed, nothing new can be found.
unsigned long long ModulesEverLoaded() noexcept;

}  // namespace backstay

#endif  // BACKSTAY_VFS_VFS_SCAN_H_
