/*
** libbackstay_preload.so: replicates the SQLite databases of a program that is not changed at all.
**
**     LD_PRELOAD=/usr/local/lib/backstay/libbackstay_preload.so BACKSTAY_DB=/data/app.db \
**       BACKSTAY_REPLICA_URL=s3://bucket/app  program
**
** Finds the unix VFS objects of every copy of SQLite in the process, linked in any way but into a
** fully static program, and hooks them in place. It looks for them when the program starts, when
** a library was loaded (every loader of plugins calls dlsym() next) and when SQLite initialises
** itself (it asks for SQLITE_TMPDIR right after it has set up its VFSes). No copy is called before
** the program has called it, no default VFS is changed, and dlopen() stays the linker's own: it
** looks at its caller.
**
** The variable is inherited by every child process. One that has no SQLite pays a scan of its data
** at the start; one that opens no selected database loads nothing and starts no thread. Databases
** are selected by BACKSTAY_DB, by the JSON file or by the URI parameter `replica`; a replica URL
** alone selects nothing, because runtimes keep private databases of their own.
**
** Status: <database>-backstay/status.json, `backstay status`, and PRAGMA backstay_status where the
** program's SQLite shows its memory functions.
*/
#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <exception>
#include <memory>

#include "vfs/engine_loader.h"
#include "vfs/pinned.h"
#include "vfs/process.h"
#include "vfs/shim_vfs.h"
#include "vfs/vfs_scan.h"

namespace backstay {
namespace {

#if defined(__x86_64__)
constexpr const char* kOldGlibc = "GLIBC_2.2.5";
#elif defined(__aarch64__)
constexpr const char* kOldGlibc = "GLIBC_2.17";
#else
#error "preload.cc knows x86-64 and AArch64"
#endif

// What is read before the program can change its environment or its folder. Leaked on purpose.
struct Startup {
  SelectionOptions selection = SelectionFromEnvironment(/*preloaded=*/true);
  std::string folder = OwnFolder();
};

const Startup& TheStartup() {
  static const auto* startup = new Startup;
  return *startup;
}

// ---- The copy of SQLite around a VFS object -----------------------------------------------------

// A function that the module exports, NULL if it does not. Not one of another module: two copies of
// SQLite do not share memory.
template <typename Function>
Function Exported(void* handle, const Dl_info& module, const char* name) {
  void* symbol = dlsym(handle, name);
  Dl_info info;
  if (symbol == nullptr || dladdr(symbol, &info) == 0) return nullptr;
  return info.dli_fbase == module.dli_fbase ? reinterpret_cast<Function>(symbol) : nullptr;
}

const SqliteCopy* NewCopy(const Dl_info& module) {
  auto copy = std::make_unique<SqliteCopy>();
  void* handle = PinModule(module.dli_fbase);
  if (handle == nullptr) return copy.release();
  auto version = Exported<int (*)()>(handle, module, "sqlite3_libversion_number");
  copy->version = version != nullptr ? version() : 0;
  copy->alloc = Exported<void* (*)(int)>(handle, module, "sqlite3_malloc");
  copy->free = Exported<void (*)(void*)>(handle, module, "sqlite3_free");
  return copy.release();
}

void HookAll(const FoundVfses& found) {
  const void* base = nullptr;
  const SqliteCopy* copy = nullptr;
  for (size_t i = 0; i < found.count; i++) {
    sqlite3_vfs* vfs = found.objects[i];
    if (IsHooked(vfs)) continue;
    Dl_info module;
    if (dladdr(reinterpret_cast<void*>(vfs->xAccess), &module) == 0) continue;
    if (base != module.dli_fbase) copy = NewCopy(module);
    base = module.dli_fbase;
    Process::Start(TheStartup().selection, TheStartup().folder);
    HookVfs(vfs, copy);
  }
  if (!found.all) TellOfTooManyVfses();
}

// ---- When to look -----------------------------------------------------------------------------

std::atomic_flag looking = ATOMIC_FLAG_INIT;
std::atomic<bool> started = false;              // dlsym() is asked before anything is ready
std::atomic<unsigned long long> looked_at = 0;  // ModulesEverLoaded() of the last look

// One thread looks; others, and the calls that looking itself makes, go on at once: waiting here
// for a thread that waits for the dynamic linker could be a deadlock.
void Look(bool whatever_was_loaded) noexcept {
  const unsigned long long modules = ModulesEverLoaded();
  if (!whatever_was_loaded && modules == looked_at.load(std::memory_order_relaxed)) return;
  if (looking.test_and_set(std::memory_order_acquire)) return;
  looked_at.store(modules, std::memory_order_relaxed);
  try {
    HookAll(FindUnixVfses());
  } catch (const std::exception&) {
    looked_at.store(0, std::memory_order_relaxed);  // the next look may have more luck
  }
  looking.clear(std::memory_order_release);
}

__attribute__((constructor)) void AtStart() {
  try {
    TheStartup();
  } catch (const std::exception&) {
    return;
  }
  started = true;
  Look(true);
}

// The definition after ours, of the oldest or the newer name.
void* Next(const char* name) noexcept {
  void* symbol = dlvsym(RTLD_NEXT, name, "GLIBC_2.34");
  return symbol != nullptr ? symbol : dlvsym(RTLD_NEXT, name, kOldGlibc);
}

void* NoSymbol(void*, const char*) { return nullptr; }

char* SearchEnvironment(const char* name) {
  const size_t n = std::strlen(name);
  for (char** entry = environ; entry != nullptr && *entry != nullptr; entry++) {
    if (std::strncmp(*entry, name, n) == 0 && (*entry)[n] == '=') return *entry + n + 1;
  }
  return nullptr;
}

}  // namespace
}  // namespace backstay

// ---- Interposers --------------------------------------------------------------------------------

// Returns where dlsym() goes on.
extern "C" __attribute__((visibility("hidden"), used)) void* backstay_before_dlsym() noexcept {
  static std::atomic<void*> real = nullptr;
  if (backstay::started.load(std::memory_order_relaxed)) backstay::Look(false);
  void* next = real.load(std::memory_order_relaxed);
  if (next == nullptr) {
    next = backstay::Next("dlsym");
    if (next == nullptr) next = reinterpret_cast<void*>(&backstay::NoSymbol);
    real.store(next, std::memory_order_relaxed);
  }
  return next;
}

// dlsym(RTLD_NEXT, …) goes by the address it returns to, so the real one must return to our caller:
// a jump, at any optimisation level.
#if defined(__x86_64__)
asm(R"(
  .text
  .globl dlsym
  .type dlsym, @function
dlsym:
  .cfi_startproc
  endbr64
  pushq %rdi
  .cfi_adjust_cfa_offset 8
  pushq %rsi
  .cfi_adjust_cfa_offset 8
  subq $8, %rsp
  .cfi_adjust_cfa_offset 8
  call backstay_before_dlsym
  addq $8, %rsp
  .cfi_adjust_cfa_offset -8
  popq %rsi
  .cfi_adjust_cfa_offset -8
  popq %rdi
  .cfi_adjust_cfa_offset -8
  jmp *%rax
  .cfi_endproc
  .size dlsym, . - dlsym
)");
#else
asm(R"(
  .text
  .globl dlsym
  .type dlsym, %function
dlsym:
  .cfi_startproc
  hint 34
  stp x29, x30, [sp, -32]!
  .cfi_adjust_cfa_offset 32
  .cfi_rel_offset x29, 0
  .cfi_rel_offset x30, 8
  stp x0, x1, [sp, 16]
  mov x29, sp
  bl backstay_before_dlsym
  mov x16, x0
  ldp x0, x1, [sp, 16]
  ldp x29, x30, [sp], 32
  .cfi_restore x29
  .cfi_restore x30
  .cfi_adjust_cfa_offset -32
  br x16
  .cfi_endproc
  .size dlsym, . - dlsym
)");
#endif

extern "C" __attribute__((visibility("default"))) char* getenv(const char* name) noexcept {
  using Getenv = char* (*)(const char*);
  static std::atomic<Getenv> real = nullptr;
  if (std::strcmp(name, "SQLITE_TMPDIR") == 0) backstay::Look(true);
  Getenv next = real.load(std::memory_order_relaxed);
  if (next == nullptr) {
    next = reinterpret_cast<Getenv>(backstay::Next("getenv"));
    if (next == nullptr) next = &backstay::SearchEnvironment;
    real.store(next, std::memory_order_relaxed);
  }
  return next(name);
}
