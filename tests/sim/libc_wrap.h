// What libc_threads.cc, libc_time.cc and libc_files.cc share: they stand in front of the C library
// in this program, for the product and for SQLite alike. A thread that is not scheduled
// (scheduler.h) gets the library's own.

#ifndef BACKSTAY_TESTS_SIM_LIBC_WRAP_H_
#define BACKSTAY_TESTS_SIM_LIBC_WRAP_H_

#include <dlfcn.h>

#include <cstdlib>

// Seen by the libraries that come with the program.
#define BACKSTAY_WRAP extern "C" __attribute__((visibility("default")))

namespace backstay::sim {

// The next function of that name; `version` where an older one would be found otherwise.
template <typename Function>
Function* Real(const char* name, const char* version = nullptr) {
  void* found = version != nullptr ? dlvsym(RTLD_NEXT, name, version) : nullptr;
  if (found == nullptr) found = dlsym(RTLD_NEXT, name);
  if (found == nullptr) abort();
  return reinterpret_cast<Function*>(found);
}

}  // namespace backstay::sim

#define BACKSTAY_REAL(name) backstay::sim::Real<decltype(::name)>(#name)

#endif  // BACKSTAY_TESTS_SIM_LIBC_WRAP_H_
