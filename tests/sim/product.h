// The product in a simulated process: the real shim in front of SQLite's VFS, the real engine
// behind it, linked in rather than loaded. A library of its own: engine and shim use the same
// names.
//
// Once per process, before its first database is opened; what fails ends the process.

#ifndef BACKSTAY_TESTS_SIM_PRODUCT_H_
#define BACKSTAY_TESTS_SIM_PRODUCT_H_

#include "uploader/engine_api.h"

namespace backstay::sim {

// Reads the settings from the environment.
__attribute__((visibility("default"))) void BringProductIn(BackstayEngineFn engine);

}  // namespace backstay::sim

#endif  // BACKSTAY_TESTS_SIM_PRODUCT_H_
