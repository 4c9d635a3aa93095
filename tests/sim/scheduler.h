// Scheduler: of all threads of a simulated process one runs at a time, and the seed says which.
// Time is the simulation's own: it passes a little at each point, and jumps when all threads wait.
//
// Begin() in the thread that becomes the first; from then on libc.cc comes here in place of what
// threads would wait for each other by. A process dies at the point that it was told. All threads
// waiting for ever is a finding, and ends it.

#ifndef BACKSTAY_TESTS_SIM_SCHEDULER_H_
#define BACKSTAY_TESTS_SIM_SCHEDULER_H_

#include <cstdint>

namespace backstay::sim {

constexpr int kDied = 37;  // exit code of a process that was killed
constexpr int64_t kNever = INT64_MAX;

struct SchedulerOptions {
  uint64_t seed = 0;
  uint64_t switch_per_mille = 100;  // at a point that does not make the thread wait
  uint64_t die_at = 0;              // point of this process; 0: it is not killed
};
void Begin(const SchedulerOptions& options);

// The calling thread is one of those that are scheduled.
bool Scheduled();
// Another thread may run now, or the process die.
void Point();
// Waits until Wake() names the same, or until then (ns of the world). False: it was the time.
bool WaitFor(const void* what, int64_t until_ns);
void Wake(const void* what, bool all);

// Threads: made by the creator, entered and left by the thread itself.
void* MakeThread();
void EnterThread(void* thread);
void LeaveThread();
bool IsOver(const void* thread);

}  // namespace backstay::sim

#endif  // BACKSTAY_TESTS_SIM_SCHEDULER_H_
