// The functions of malloc's family, as libbackstay_engine.so and what it brings see them: those of
// the host.
//
// A program may have an allocator of its own (jemalloc, mimalloc, tcmalloc; linked or preloaded).
// libc then allocates with it, and hands what it allocated to the engine: the engine must free with
// it, too. But the engine is loaded with RTLD_DEEPBIND, which shows glibc's functions to it and to
// libcurl, OpenSSL, zstd and pugixml before the program's. These here come first of all, and pass
// each call on to the first definition in the program's own order of search.
//
// Any thread, from the first constructor of a library on; all are looked up once the engine is
// loaded, so that a forked child need not. Without the host's function there is no memory.

#include <dlfcn.h>
#include <malloc.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>

namespace {

template <typename Function>
class HostFunction {
 public:
  explicit constexpr HostFunction(const char* name) : name_(name) {}

  Function* get() noexcept {
    Function* found = found_.load(std::memory_order_relaxed);
    return found != nullptr ? found : Find();
  }

 private:
  // Not RTLD_DEFAULT, whose order begins with this library. The handle of the program stays open.
  Function* Find() noexcept {
    void* program = dlopen(nullptr, RTLD_LAZY);
    void* symbol = program != nullptr ? dlsym(program, name_) : nullptr;
    auto* found = reinterpret_cast<Function*>(symbol);
    found_.store(found, std::memory_order_relaxed);
    return found;
  }

  const char* const name_;
  std::atomic<Function*> found_ = nullptr;
};

constinit HostFunction<void*(size_t)> host_malloc("malloc");
constinit HostFunction<void(void*)> host_free("free");
constinit HostFunction<void*(size_t, size_t)> host_calloc("calloc");
constinit HostFunction<void*(void*, size_t)> host_realloc("realloc");
constinit HostFunction<void*(void*, size_t, size_t)> host_reallocarray("reallocarray");
constinit HostFunction<int(void**, size_t, size_t)> host_posix_memalign("posix_memalign");
constinit HostFunction<void*(size_t, size_t)> host_aligned_alloc("aligned_alloc");
constinit HostFunction<void*(size_t, size_t)> host_memalign("memalign");
constinit HostFunction<void*(size_t)> host_valloc("valloc");
constinit HostFunction<void*(size_t)> host_pvalloc("pvalloc");
constinit HostFunction<size_t(void*)> host_malloc_usable_size("malloc_usable_size");

template <typename... Functions>
void FindAll(Functions&... functions) {
  (static_cast<void>(functions.get()), ...);
}

__attribute__((constructor)) void AtLoad() {
  FindAll(host_malloc, host_free, host_calloc, host_realloc, host_reallocarray, host_posix_memalign,
          host_aligned_alloc, host_memalign, host_valloc, host_pvalloc, host_malloc_usable_size);
}

template <typename... Arguments>
void* Allocate(HostFunction<void*(Arguments...)>& host, Arguments... arguments) noexcept {
  auto* function = host.get();
  if (function != nullptr) return function(arguments...);
  errno = ENOMEM;
  return nullptr;
}

}  // namespace

// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
#pragma GCC visibility push(default)
extern "C" {

void* malloc(size_t n) noexcept { return Allocate(host_malloc, n); }

void free(void* p) noexcept {
  if (auto* function = host_free.get()) function(p);
}

void* calloc(size_t count, size_t n) noexcept { return Allocate(host_calloc, count, n); }

void* realloc(void* p, size_t n) noexcept { return Allocate(host_realloc, p, n); }

void* reallocarray(void* p, size_t count, size_t n) noexcept {
  return Allocate(host_reallocarray, p, count, n);
}

int posix_memalign(void** p, size_t alignment, size_t n) noexcept {
  auto* function = host_posix_memalign.get();
  return function != nullptr ? function(p, alignment, n) : ENOMEM;
}

void* aligned_alloc(size_t alignment, size_t n) noexcept {
  return Allocate(host_aligned_alloc, alignment, n);
}

void* memalign(size_t alignment, size_t n) noexcept {
  return Allocate(host_memalign, alignment, n);
}

void* valloc(size_t n) noexcept { return Allocate(host_valloc, n); }

void* pvalloc(size_t n) noexcept { return Allocate(host_pvalloc, n); }

size_t malloc_usable_size(void* p) noexcept {
  auto* function = host_malloc_usable_size.get();
  return function != nullptr ? function(p) : 0;
}

}  // extern "C"
#pragma GCC visibility pop
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
