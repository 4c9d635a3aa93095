// Threads, mutexes, condition variables and futexes, and the locks of static variables, by turns.

#include <cxxabi.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <ctime>
#include <unordered_map>

#include "tests/sim/libc_wrap.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/turns.h"
#include "tests/sim/world.h"

// Their declarations have names that are not ours to use.
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name)
using namespace backstay::sim;  // NOLINT: these are the C library's names

namespace {

constexpr const char* kCondVersion = "GLIBC_2.3.2";

int64_t WorldNs(const timespec& time, bool monotonic) {
  const int64_t ns = int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  return monotonic ? ns : ns - kEpochNs;
}

// Who holds what; a fibre is nobody to the kernel.
struct Held {
  uint64_t thread = 0;
  int times = 0;
};
std::unordered_map<const pthread_mutex_t*, Held>& Mutexes() {
  static auto* const mutexes = new std::unordered_map<const pthread_mutex_t*, Held>;
  return *mutexes;
}

bool IsRecursive(const pthread_mutex_t* mutex) {
  return (mutex->__data.__kind & 3) == PTHREAD_MUTEX_RECURSIVE;
}

bool TryLockInTurn(const pthread_mutex_t* mutex) {
  Held& held = Mutexes()[mutex];
  if (held.times != 0 && (held.thread != ThisThread() || !IsRecursive(mutex))) return false;
  held = {ThisThread(), held.times + 1};
  return true;
}

int LockInTurn(const pthread_mutex_t* mutex) {
  while (!TryLockInTurn(mutex)) WaitFor(mutex, kNever);
  return 0;
}

int UnlockInTurn(const pthread_mutex_t* mutex) {
  Held& held = Mutexes()[mutex];
  if (held.times == 0) abort();
  if (--held.times != 0) return 0;
  Mutexes().erase(mutex);
  Wake(mutex, false);
  return 0;
}

int WaitInTurn(pthread_cond_t* cond, pthread_mutex_t* mutex, int64_t until_ns) {
  UnlockInTurn(mutex);
  const bool woken = WaitFor(cond, until_ns);
  LockInTurn(mutex);
  return woken ? 0 : ETIMEDOUT;
}

constexpr size_t kStackBytes = 1 << 20;  // where the creator brings none

}  // namespace

BACKSTAY_WRAP int pthread_create(pthread_t* id, const pthread_attr_t* attributes,
                                 void* (*body)(void*), void* argument) noexcept {
  static auto* const create = BACKSTAY_REAL(pthread_create);
  if (!Scheduled()) return create(id, attributes, body, argument);
  void* stack = nullptr;
  size_t bytes = 0;
  const bool given =
      attributes != nullptr && pthread_attr_getstack(attributes, &stack, &bytes) == 0 && bytes != 0;
  if (!given || stack == nullptr) {
    bytes = kStackBytes;
    stack = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) abort();
  }
  *id = MakeThread(stack, bytes, body, argument);
  Point();
  return 0;
}

BACKSTAY_WRAP int pthread_join(pthread_t id, void** result) {
  static auto* const join = BACKSTAY_REAL(pthread_join);
  if (!Scheduled()) return join(id, result);
  AwaitEnd(id);
  return 0;
}

BACKSTAY_WRAP int pthread_detach(pthread_t id) noexcept {
  static auto* const detach = BACKSTAY_REAL(pthread_detach);
  return Scheduled() ? 0 : detach(id);
}

BACKSTAY_WRAP int pthread_setname_np(pthread_t id, const char* name) noexcept {
  static auto* const set = BACKSTAY_REAL(pthread_setname_np);
  return Scheduled() ? 0 : set(id, name);
}

BACKSTAY_WRAP pthread_t pthread_self() noexcept {
  static auto* const real = BACKSTAY_REAL(pthread_self);
  return Scheduled() ? ThisThread() : real();
}

BACKSTAY_WRAP int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
  static auto* const try_lock = BACKSTAY_REAL(pthread_mutex_trylock);
  if (!Scheduled()) return try_lock(mutex);
  return TryLockInTurn(mutex) ? 0 : EBUSY;
}

BACKSTAY_WRAP int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  static auto* const lock = BACKSTAY_REAL(pthread_mutex_lock);
  if (!Scheduled()) return lock(mutex);
  Point();
  return LockInTurn(mutex);
}

BACKSTAY_WRAP int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  static auto* const unlock = BACKSTAY_REAL(pthread_mutex_unlock);
  return Scheduled() ? UnlockInTurn(mutex) : unlock(mutex);
}

BACKSTAY_WRAP int pthread_cond_wait(pthread_cond_t* cond, pthread_mutex_t* mutex) {
  static auto* const wait = Real<decltype(::pthread_cond_wait)>("pthread_cond_wait", kCondVersion);
  if (!Scheduled()) return wait(cond, mutex);
  return WaitInTurn(cond, mutex, kNever);
}

BACKSTAY_WRAP int pthread_cond_timedwait(pthread_cond_t* cond, pthread_mutex_t* mutex,
                                         const timespec* until) {
  static auto* const wait =
      Real<decltype(::pthread_cond_timedwait)>("pthread_cond_timedwait", kCondVersion);
  if (!Scheduled()) return wait(cond, mutex, until);
  return WaitInTurn(cond, mutex, WorldNs(*until, false));
}

BACKSTAY_WRAP int pthread_cond_clockwait(pthread_cond_t* cond, pthread_mutex_t* mutex,
                                         clockid_t clock, const timespec* until) {
  static auto* const wait = BACKSTAY_REAL(pthread_cond_clockwait);
  if (!Scheduled()) return wait(cond, mutex, clock, until);
  return WaitInTurn(cond, mutex, WorldNs(*until, clock == CLOCK_MONOTONIC));
}

BACKSTAY_WRAP int pthread_cond_signal(pthread_cond_t* cond) noexcept {
  static auto* const signal =
      Real<decltype(::pthread_cond_signal)>("pthread_cond_signal", kCondVersion);
  if (!Scheduled()) return signal(cond);
  Wake(cond, false);
  return 0;
}

BACKSTAY_WRAP int pthread_cond_broadcast(pthread_cond_t* cond) noexcept {
  static auto* const broadcast =
      Real<decltype(::pthread_cond_broadcast)>("pthread_cond_broadcast", kCondVersion);
  if (!Scheduled()) return broadcast(cond);
  Wake(cond, true);
  return 0;
}

BACKSTAY_WRAP long syscall(long number, ...) noexcept {
  static auto* const real = BACKSTAY_REAL(syscall);
  long a[6];
  va_list arguments;
  va_start(arguments, number);
  for (long& argument : a) argument = va_arg(arguments, long);
  va_end(arguments);
  const bool wait = number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAIT;
  const bool wake = number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAKE;
  if ((!wait && !wake) || !Scheduled()) return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  const auto* word = reinterpret_cast<const uint32_t*>(a[0]);
  const void* shared = NameOfShared(word);
  if (wake) return shared != nullptr ? WakeEverywhere(shared) : Wake(word, true), a[2];
  if (*word != static_cast<uint32_t>(a[2])) return errno = EAGAIN, -1;
  const auto* time = reinterpret_cast<const timespec*>(a[3]);
  const int64_t until = time != nullptr ? world->now_ns + WorldNs(*time, true) : kNever;
  return WaitFor(shared != nullptr ? shared : word, until) ? 0 : (errno = ETIMEDOUT, -1);
}

// A static variable that one thread or fibre is making, and another asks for. The first byte: it is
// made (that much is the ABI's, which reads it without a call); the second: it is under way.
namespace __cxxabiv1 {
extern "C" __attribute__((visibility("default"))) int __cxa_guard_acquire(__guard* guard) {
  auto* const bytes = reinterpret_cast<unsigned char*>(guard);
  for (;;) {
    if (__atomic_load_n(&bytes[0], __ATOMIC_ACQUIRE) != 0) return 0;
    if (__atomic_exchange_n(&bytes[1], 1, __ATOMIC_ACQUIRE) == 0) break;
    if (Scheduled())
      WaitFor(guard, kNever);
    else
      sched_yield();
  }
  // Whoever was making it may have come to its end between the two looks.
  if (__atomic_load_n(&bytes[0], __ATOMIC_ACQUIRE) == 0) return 1;
  __cxa_guard_abort(guard);
  return 0;
}
extern "C" __attribute__((visibility("default"))) void __cxa_guard_release(
    __guard* guard) noexcept {
  __atomic_store_n(reinterpret_cast<unsigned char*>(guard), 1, __ATOMIC_RELEASE);
  __cxa_guard_abort(guard);
}
extern "C" __attribute__((visibility("default"))) void __cxa_guard_abort(__guard* guard) noexcept {
  __atomic_store_n(reinterpret_cast<unsigned char*>(guard) + 1, 0, __ATOMIC_RELEASE);
  if (Scheduled()) Wake(guard, true);
}
}  // namespace __cxxabiv1
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
