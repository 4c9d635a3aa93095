// Whether the limits of this process leave room for the engine beside the application: descriptors
// and memory of ours come last.
//
// On an application's thread. Lack() is asked before the engine is loaded, and before each further
// database; it reads the limits alone, changes nothing, and may throw std::bad_alloc. MadeRoom() is
// asked when a call of the application has failed: what the engine holds is given back to it.

#ifndef BACKSTAY_VFS_HEADROOM_H_
#define BACKSTAY_VFS_HEADROOM_H_

#include <string>

namespace backstay {

// What is short and how to have more of it; empty when there is room for one more database and the
// application keeps 16 file descriptors and 64 MiB of address space.
std::string Lack();

// A call of the application's VFS ended with this result code for want of descriptors or memory,
// and the engine has given back its own: it is worth to be made once more.
bool MadeRoom(int rc) noexcept;

}  // namespace backstay

#endif  // BACKSTAY_VFS_HEADROOM_H_
