// The two ways in: the VFS `backstay` over another one, and the hook in a VFS object that is there.
//
// The VFS is for connections that are opened later; the hook is for connections that hold another
// VFS already (an extension is often loaded into an open connection) or name one. Both pass every
// call on untouched and look only at what xOpen opened and at the deletion of a WAL. Nothing that
// is made here is ever freed or undone: connections keep pointers to it.
//
// HookVfs() and MakeVfs() are for the thread that brings the shim in; they may throw
// std::bad_alloc. The methods run on any thread and do not throw.

#ifndef BACKSTAY_VFS_SHIM_VFS_H_
#define BACKSTAY_VFS_SHIM_VFS_H_

#include <sqlite3.h>

#include <cstddef>

#include "vfs/host_file.h"
#include "vfs/sqlite_copy.h"

namespace backstay {

constexpr const char* kVfsName = "backstay";

// Objects that can be hooked in a process: at least 64 copies of SQLite have no more.
constexpr size_t kMaxHooks = 256;

// Replaces xOpen and xDelete in the object. Does nothing when they are ours; says so when
// kMaxHooks are hooked already. REQUIRES: Process::Start().
void HookVfs(sqlite3_vfs* vfs, const SqliteCopy* copy);

// Says that there are more than can be hooked. REQUIRES: Process::Start().
void TellOfTooManyVfses() noexcept;

// True if HookVfs() has done this object.
bool IsHooked(const sqlite3_vfs* vfs) noexcept;

// True if what it opens passes through the shim.
bool IsOurs(const sqlite3_vfs* vfs) noexcept;

// A VFS `backstay` over `inner`, to be registered with the same copy of SQLite.
sqlite3_vfs* MakeVfs(sqlite3_vfs* inner, const SqliteCopy* copy);

// `vfs` with the methods it had before a hook.
InnerVfs Unhooked(sqlite3_vfs* vfs, const SqliteCopy* copy) noexcept;

// Puts the shim in front of a file that `inner` has opened, if it is one to replicate. zName and
// flags as in xOpen; `out` the flags that xOpen returned.
void ShimOpened(const InnerVfs& inner, const char* zName, sqlite3_file* file, int flags,
                int out) noexcept;

}  // namespace backstay

#endif  // BACKSTAY_VFS_SHIM_VFS_H_
