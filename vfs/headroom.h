// Lack(): whether the limits of this process leave room for the engine beside the application.
//
// Asked on an application's thread before the engine is loaded, and before each further database:
// descriptors and memory of ours come last. Reads the limits alone and changes nothing. Not asked
// again while a database is replicated. May throw std::bad_alloc.

#ifndef BACKSTAY_VFS_HEADROOM_H_
#define BACKSTAY_VFS_HEADROOM_H_

#include <string>

namespace backstay {

// What is short and how to have more of it; empty when there is room for one more database and the
// application keeps 16 file descriptors and 64 MiB of address space.
std::string Lack();

}  // namespace backstay

#endif  // BACKSTAY_VFS_HEADROOM_H_
