#include "tests/sim/scheduler.h"

#include <cxxabi.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "tests/sim/turns.h"
#include "tests/sim/world.h"

namespace backstay::sim {
namespace {

// What the C++ runtime keeps for a thread whose exceptions are under way.
struct Exceptions {
  void* caught = nullptr;
  unsigned uncaught = 0;
};

struct Task {
  uint64_t number = 0;
  ucontext_t context{};
  void* (*body)(void*) = nullptr;
  void* argument = nullptr;
  Exceptions exceptions;
  bool over = false;
  const void* waits_for = nullptr;  // null: it can run
  int64_t until_ns = kNever;
  bool woken = false;
};

// Leaked, with the process.
struct State {
  explicit State(const SchedulerOptions& given) : options(given), random(given.seed) {}
  const SchedulerOptions options;
  Random random;
  uint64_t point = 0;
  std::vector<Task*> tasks;  // [number - 1]; never removed
  std::vector<Task*> alive;
};
State* state = nullptr;
Task* self = nullptr;

[[noreturn]] void Exit(int code) {
  for (;;) syscall(SYS_exit_group, code);
}

void WakeExpired() {
  for (Task* task : state->alive) {
    if (task->waits_for == nullptr || task->until_ns > world->now_ns) continue;
    task->waits_for = nullptr;
    task->woken = false;
  }
}

// The next to run, after the time that all wait for.
Task* Next() {
  WakeExpired();
  for (;;) {
    std::vector<Task*> ready;
    int64_t first = kNever;
    for (Task* task : state->alive) {
      if (task->waits_for == nullptr)
        ready.push_back(task);
      else
        first = std::min(first, task->until_ns);
    }
    if (!ready.empty()) return ready[state->random.Below(ready.size())];
    Yield(&state->random, first);
    WakeExpired();
  }
}

void SwitchTo(Task* next) {
  Task* before = self;
  if (next == before) return;
  auto* exceptions = reinterpret_cast<Exceptions*>(abi::__cxa_get_globals());
  before->exceptions = *exceptions;
  *exceptions = next->exceptions;
  const int error = errno;
  self = next;
  swapcontext(&before->context, &next->context);
  errno = error;
}

void Main() {
  self->body(self->argument);
  self->over = true;
  state->alive.erase(std::find(state->alive.begin(), state->alive.end(), self));
  Wake(self, true);
  SwitchTo(Next());
}

void Pass() {
  world->points++;
  world->now_ns += state->random.Between(500, 20'000);
  if (++state->point == state->options.die_at) {
    Say("killed at point %llu", static_cast<unsigned long long>(state->point));
    Exit(kDied);
  }
  if (OthersLive() && state->random.Chance(state->options.switch_per_mille / 4))
    Yield(&state->random, world->now_ns);
}

}  // namespace

void Begin(size_t slot, const SchedulerOptions& options) {
  state = new State(options);
  self = new Task;
  self->number = 1;
  state->tasks = state->alive = {self};
  Join(slot);
}

bool Scheduled() { return self != nullptr; }

void Point() {
  Pass();
  if (state->alive.size() < 2 || !state->random.Chance(state->options.switch_per_mille)) return;
  SwitchTo(Next());
}

bool WaitFor(const void* what, int64_t until_ns) {
  Pass();
  self->waits_for = what;
  self->until_ns = until_ns;
  SwitchTo(Next());
  return self->woken;
}

void Wake(const void* what, bool all) {
  std::vector<Task*> waiting;
  for (Task* task : state->alive) {
    if (task->waits_for == what) waiting.push_back(task);
  }
  while (!waiting.empty()) {
    const auto one = waiting.begin() + static_cast<int64_t>(state->random.Below(waiting.size()));
    (*one)->waits_for = nullptr;
    (*one)->woken = true;
    waiting.erase(one);
    if (!all) return;
  }
}

uint64_t MakeThread(void* stack, size_t bytes, void* (*body)(void*), void* argument) {
  auto* task = new Task;
  task->body = body;
  task->argument = argument;
  getcontext(&task->context);
  task->context.uc_stack.ss_sp = stack;
  task->context.uc_stack.ss_size = bytes;
  makecontext(&task->context, Main, 0);
  state->tasks.push_back(task);
  state->alive.push_back(task);
  return task->number = state->tasks.size();
}

uint64_t ThisThread() { return self->number; }

void AwaitEnd(uint64_t thread) {
  const Task* task = state->tasks.at(thread - 1);
  while (!task->over) WaitFor(task, kNever);
}

}  // namespace backstay::sim
