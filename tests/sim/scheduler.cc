#include "tests/sim/scheduler.h"

#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <vector>

#include "tests/sim/world.h"

namespace backstay::sim {
namespace {

struct Task {
  sem_t turn{};
  bool over = false;
  const void* waits_for = nullptr;  // null: it can run
  int64_t until_ns = kNever;
  bool woken = false;
};

// Used by the thread whose turn it is. Leaked, with the process.
struct State {
  explicit State(const SchedulerOptions& given) : options(given), random(given.seed) {}
  const SchedulerOptions options;
  Random random;
  uint64_t point = 0;
  std::vector<Task*> tasks;
  std::atomic<Task*> running = nullptr;
};
State* state = nullptr;
thread_local Task* self = nullptr;

[[noreturn]] void Exit(int code) {
  for (;;) syscall(SYS_exit_group, code);
}

void WakeExpired() {
  for (Task* task : state->tasks) {
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
    for (Task* task : state->tasks) {
      if (task->over) continue;
      if (task->waits_for == nullptr)
        ready.push_back(task);
      else
        first = std::min(first, task->until_ns);
    }
    if (!ready.empty()) return ready[state->random.Below(ready.size())];
    if (first == kNever) {
      Note(Kind::kViolation, "all threads wait for ever");
      Exit(1);
    }
    world->now_ns = std::max(world->now_ns, first);
    WakeExpired();
  }
}

void GiveTurn(Task* next) {
  state->running = next;
  if (next != self) sem_post(&next->turn);
}

void AwaitTurn() {
  while (state->running != self) sem_wait(&self->turn);
}

void Pass() {
  world->points++;
  world->now_ns += state->random.Between(500, 20'000);
  if (++state->point == state->options.die_at) {
    Say("killed at point %llu", static_cast<unsigned long long>(state->point));
    Exit(kDied);
  }
}

}  // namespace

void Begin(const SchedulerOptions& options) {
  state = new State(options);
  self = new Task;
  sem_init(&self->turn, 0, 0);
  state->tasks.push_back(self);
  state->running = self;
}

bool Scheduled() { return self != nullptr && !self->over; }

void Point() {
  Pass();
  if (state->tasks.size() < 2 || !state->random.Chance(state->options.switch_per_mille)) return;
  GiveTurn(Next());
  AwaitTurn();
}

bool WaitFor(const void* what, int64_t until_ns) {
  Pass();
  self->waits_for = what;
  self->until_ns = until_ns;
  GiveTurn(Next());
  AwaitTurn();
  return self->woken;
}

void Wake(const void* what, bool all) {
  std::vector<Task*> waiting;
  for (Task* task : state->tasks) {
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

void* MakeThread() {
  auto* task = new Task;
  sem_init(&task->turn, 0, 0);
  state->tasks.push_back(task);
  return task;
}

void EnterThread(void* thread) {
  auto* task = static_cast<Task*>(thread);
  self = task;
  AwaitTurn();
}

void LeaveThread() {
  self->over = true;
  Wake(self, true);
  state->tasks.erase(std::find(state->tasks.begin(), state->tasks.end(), self));
  Task* next = Next();
  state->running = next;
  sem_post(&next->turn);
}

bool IsOver(const void* thread) { return static_cast<const Task*>(thread)->over; }

}  // namespace backstay::sim
