// Allocations that fail on the threads and as often as a test says.
//
// For one program: linking failing_new.cc replaces its allocation functions. Any thread.

#ifndef BACKSTAY_TESTS_SUPPORT_FAILING_NEW_H_
#define BACKSTAY_TESTS_SUPPORT_FAILING_NEW_H_

#include <atomic>
#include <cstdint>

namespace backstay {

// One allocation in so many fails, 0: none, ...
extern std::atomic<uint32_t> fail_one_in;
// This one fails, counted from when it is set; 0: none, and once it has failed, ...
extern std::atomic<uint32_t> fail_at;
// ... unless all behind it fail, too; then 1, ...
extern std::atomic<bool> fail_from_there;
// ... which for all of these means operator new, or with it malloc(), calloc() and realloc(), as
// the libraries call them (not under a sanitizer, which has its own), ...
extern std::atomic<bool> fail_malloc;
// ... on the threads whose name begins so.
extern std::atomic<const char*> fail_on;

}  // namespace backstay

#endif  // BACKSTAY_TESTS_SUPPORT_FAILING_NEW_H_
