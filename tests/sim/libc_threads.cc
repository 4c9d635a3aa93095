// Threads, mutexes, condition variables and futexes, by turns.

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <ctime>
#include <map>

#include "tests/sim/libc_wrap.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/world.h"

using namespace backstay::sim;  // NOLINT: these are the C library's names

namespace {

constexpr const char* kCondVersion = "GLIBC_2.3.2";

int64_t WorldNs(const timespec& time, bool monotonic) {
  const int64_t ns = int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
  return monotonic ? ns : ns - kEpochNs;
}

int LockInTurn(pthread_mutex_t* mutex) {
  static auto* const try_lock = BACKSTAY_REAL(pthread_mutex_trylock);
  for (;;) {
    const int rc = try_lock(mutex);
    if (rc != EBUSY) return rc;
    WaitFor(mutex, kNever);
  }
}

int UnlockInTurn(pthread_mutex_t* mutex) {
  static auto* const unlock = BACKSTAY_REAL(pthread_mutex_unlock);
  const int rc = unlock(mutex);
  Wake(mutex, false);
  return rc;
}

int WaitInTurn(pthread_cond_t* cond, pthread_mutex_t* mutex, int64_t until_ns) {
  UnlockInTurn(mutex);
  const bool woken = WaitFor(cond, until_ns);
  LockInTurn(mutex);
  return woken ? 0 : ETIMEDOUT;
}

struct Start {
  void* thread;
  void* (*body)(void*);
  void* argument;
};

void* Main(void* given) {
  const Start start = *static_cast<Start*>(given);
  delete static_cast<Start*>(given);
  EnterThread(start.thread);
  void* result = start.body(start.argument);
  LeaveThread();
  return result;
}

std::map<pthread_t, void*>& Threads() {
  static auto* const threads = new std::map<pthread_t, void*>;
  return *threads;
}

}  // namespace

BACKSTAY_WRAP int pthread_create(pthread_t* id, const pthread_attr_t* attributes,
                                 void* (*body)(void*), void* argument) noexcept {
  static auto* const create = BACKSTAY_REAL(pthread_create);
  if (!Scheduled()) return create(id, attributes, body, argument);
  void* thread = MakeThread();
  const int rc = create(id, attributes, Main, new Start{thread, body, argument});
  if (rc != 0) abort();
  Threads()[*id] = thread;
  Point();
  return rc;
}

BACKSTAY_WRAP int pthread_join(pthread_t id, void** result) {
  static auto* const join = BACKSTAY_REAL(pthread_join);
  if (!Scheduled()) return join(id, result);
  const void* thread = Threads()[id];
  while (!IsOver(thread)) WaitFor(thread, kNever);
  return join(id, result);
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

// Of this process alone: the simulation has one at a time.
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
  if (wake) return Wake(word, true), a[2];
  if (*word != static_cast<uint32_t>(a[2])) return errno = EAGAIN, -1;
  const auto* time = reinterpret_cast<const timespec*>(a[3]);
  const int64_t until = time != nullptr ? world->now_ns + WorldNs(*time, true) : kNever;
  return WaitFor(word, until) ? 0 : (errno = ETIMEDOUT, -1);
}
