#include "tests/support/failing_new.h"

#include <sys/prctl.h>

#include <cstdlib>
#include <cstring>
#include <new>

namespace backstay {

std::atomic<uint32_t> fail_one_in{0};
std::atomic<uint32_t> fail_at{0};
std::atomic<bool> fail_from_there{false};
std::atomic<bool> fail_malloc{false};
std::atomic<const char*> fail_on{"backstay-"};

namespace {

std::atomic<uint64_t> allocations{0};

bool MustFail() {
  const uint32_t one_in = fail_one_in.load();
  if (one_in == 0 && fail_at == 0) return false;
  char name[16] = "";
  prctl(PR_GET_NAME, name);
  const char* prefix = fail_on.load();
  if (strncmp(name, prefix, strlen(prefix)) != 0) return false;
  uint32_t left = fail_at.load();
  while (left != 0 && !fail_at.compare_exchange_weak(left, left - 1)) continue;
  if (left == 1 && fail_from_there) fail_at = 1;
  if (left != 0) return left == 1;
  if (one_in == 0) return false;
  // A multiplicative hash of the count: no state but the counter.
  uint64_t mixed = ++allocations * 0x9e3779b97f4a7c15ULL;
  return (mixed >> 33) % one_in == 0;
}

}  // namespace
}  // namespace backstay

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

extern "C" {

void* __libc_malloc(size_t size);                 // NOLINT: glibc's names
void* __libc_calloc(size_t n, size_t size);       // NOLINT
void* __libc_realloc(void* memory, size_t size);  // NOLINT

void* malloc(size_t size) {
  return backstay::fail_malloc && backstay::MustFail() ? nullptr : __libc_malloc(size);
}
void* calloc(size_t n, size_t size) {
  return backstay::fail_malloc && backstay::MustFail() ? nullptr : __libc_calloc(n, size);
}
void* realloc(void* memory, size_t size) {
  return backstay::fail_malloc && backstay::MustFail() ? nullptr : __libc_realloc(memory, size);
}

}  // extern "C"

#else

namespace {
void* __libc_malloc(size_t size) { return malloc(size); }  // NOLINT
}  // namespace

#endif

// All that pair with the two below: sanitizers bring their own of those that are left out.
void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return backstay::MustFail() ? nullptr : __libc_malloc(size != 0 ? size : 1);
}
void* operator new(size_t size) {
  void* memory = operator new(size, std::nothrow);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { free(memory); }
void operator delete(void* memory, size_t) noexcept { free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { free(memory); }
