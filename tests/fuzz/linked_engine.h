// The shim with the engine linked into the same program, so that a sanitizer and a fuzzer see all
// of both.
//
// One thread. linked_shim.cc stands in for vfs/engine_loader.cc; behind the C boundary everything
// is the real one. Shim and engine are never in one program else, and have names in common: here
// the shim's namespace is another.

#ifndef BACKSTAY_TESTS_FUZZ_LINKED_ENGINE_H_
#define BACKSTAY_TESTS_FUZZ_LINKED_ENGINE_H_

#include "uploader/engine_api.h"

// The name of the shim's VFS, which is registered at the first call.
const char* ShimVfs();
// Its log goes to the file that BACKSTAY_FUZZ_LOG names, if any.
const BackstayEngine* LinkedEngine();
// Ships what can be shipped in a moment, and ends all threads of the engine; the next database that
// is opened gets another one.
void EndEngine();

// What waits, waits a twentieth of its time (quick_time.cc).
void HurryTime();

#endif  // BACKSTAY_TESTS_FUZZ_LINKED_ENGINE_H_
