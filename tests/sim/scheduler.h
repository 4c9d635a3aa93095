// Scheduler: all threads of a simulated process are fibres of one, and the seed says which of them
// goes on. Time is the simulation's own: it passes a little at each point, and jumps when all wait.
//
// Begin() in the thread that becomes the first; from then on libc_threads.cc comes here in place of
// what threads are made of and wait for each other by. A process dies at the point that it was
// told. All threads waiting for ever is a finding, and ends it.

#ifndef BACKSTAY_TESTS_SIM_SCHEDULER_H_
#define BACKSTAY_TESTS_SIM_SCHEDULER_H_

#include <cstddef>
#include <cstdint>

namespace backstay::sim {

constexpr int kDied = 37;  // exit code of a process that was killed
constexpr int64_t kNever = INT64_MAX;

struct SchedulerOptions {
  uint64_t seed = 0;
  uint64_t switch_per_mille = 100;  // at a point that does not make the thread wait
  uint64_t die_at = 0;              // point of this process; 0: it is not killed
};
// A process just forked, in that slot (turns.h); returns when it has its turn.
void Begin(size_t slot, const SchedulerOptions& options);

// In a simulated process, behind Begin().
bool Scheduled();
// Another thread may go on now, or the process die.
void Point();
// Waits until Wake() names the same, or until then (ns of the world). False: it was the time.
bool WaitFor(const void* what, int64_t until_ns);
void Wake(const void* what, bool all);

// Numbers of threads; the first is 1.
uint64_t MakeThread(void* stack, size_t bytes, void* (*body)(void*), void* argument);
uint64_t ThisThread();
// Until its body has returned.
void AwaitEnd(uint64_t thread);

}  // namespace backstay::sim

#endif  // BACKSTAY_TESTS_SIM_SCHEDULER_H_
