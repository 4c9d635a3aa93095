// A thread of ours: what it takes, what it keeps away from the host, how it ends.

#include <pthread.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <new>
#include <string>

#include "tests/support/catch.h"
#include "uploader/base/thread.h"

namespace backstay {
namespace {

struct StackOf {
  uintptr_t lowest = 0;
  size_t bytes = 0;
};

StackOf ThisStack() {
  pthread_attr_t attributes;
  void* lowest = nullptr;
  StackOf stack;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return stack;
  if (pthread_attr_getstack(&attributes, &lowest, &stack.bytes) != 0) stack.bytes = 0;
  pthread_attr_destroy(&attributes);
  stack.lowest = reinterpret_cast<uintptr_t>(lowest);
  return stack;
}

// The rights of the mapping that holds this address; empty: there is none.
std::string RightsAt(uintptr_t address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long from = 0;
    unsigned long to = 0;
    char rights[8] = "";
    if (std::sscanf(line.c_str(), "%lx-%lx %7s", &from, &to, rights) != 3) continue;
    if (from <= address && address < to) return rights;
  }
  return {};
}

}  // namespace

TEST_CASE("a thread has a small stack of its own, with a guard, that is gone when it ends") {
  StackOf stack;
  std::string rights;
  std::string below;
  Thread thread;
  REQUIRE(thread.Start("backstay-a-long-name", [&] {
    stack = ThisStack();
    rights = RightsAt(stack.lowest);
    below = RightsAt(stack.lowest - 1);
  }));
  thread.Join();
  CHECK_FALSE(thread.joinable());
  CHECK(stack.bytes >= Thread::stack_bytes);
  CHECK(stack.bytes < Thread::stack_bytes + (size_t{1} << 20));
  CHECK(rights == "rw-p");
  CHECK(below == "---p");
  CHECK(RightsAt(stack.lowest) != "rw-p");
}

TEST_CASE("a thread blocks all signals, and what is thrown in it ends there") {
  sigset_t blocked;
  sigemptyset(&blocked);
  Thread thread;
  CHECK(thread.over());
  REQUIRE(thread.Start("backstay", [&]() {
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    throw std::bad_alloc();
  }));
  thread.Join();
  CHECK(sigismember(&blocked, SIGTERM) == 1);
  CHECK(sigismember(&blocked, SIGUSR1) == 1);
  sigset_t here;
  pthread_sigmask(SIG_SETMASK, nullptr, &here);
  CHECK(sigismember(&here, SIGUSR1) == 0);
}

TEST_CASE("a thread for which there is no room is not started") {
  const size_t usual = Thread::stack_bytes.exchange(size_t{1} << 56);
  Thread thread;
  CHECK_FALSE(thread.Start("backstay", [] {}));
  CHECK_FALSE(thread.joinable());
  Thread::stack_bytes = usual;
  CHECK(thread.Start("backstay", [] {}));
}

}  // namespace backstay
