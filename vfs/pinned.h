// PinModule(): keeps a module of the host in the process for good.
//
// PHP and Mono unload the library that holds their SQLite before the process ends. Its code and
// data must outlive that: hooked VFS objects point to us, and the engine's threads read the
// database through them. Called wherever a pointer into a module is kept; any thread. Fails
// silently: the program itself cannot be unloaded, and what has no name cannot be held.

#ifndef BACKSTAY_VFS_PINNED_H_
#define BACKSTAY_VFS_PINNED_H_

#include <sqlite3.h>

namespace backstay {

// A handle of the module that holds the address, for dlsym(); NULL if no module can be held.
void* PinModule(const void* address) noexcept;

// The modules that hold a VFS object and its methods.
void PinVfs(const sqlite3_vfs* vfs) noexcept;

}  // namespace backstay

#endif  // BACKSTAY_VFS_PINNED_H_
