// Workers: the few threads that do the work of all databases of a process, one step of a task at a
// time.
//
// Owned by Engine. A task is stepped by one thread at a time, when it is due or was woken; it says
// itself when it is due again. Wake() is called inside the host's commit: a short mutex, and a
// wake-up. Two threads at most are at work, and while a task waits one more looks at the clock. A
// thread whose step takes long, or hangs, does not count: no task waits behind another's comparison
// or file system. Threads are started when there is something for them to do. No errors: Add()
// tells that there is no thread at all.

#ifndef BACKSTAY_UPLOADER_ENGINE_WORKERS_H_
#define BACKSTAY_UPLOADER_ENGINE_WORKERS_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "uploader/base/clock.h"
#include "uploader/base/thread.h"

namespace backstay {

class Workers {
 public:
  explicit Workers(Clock* clock) : clock_(clock) {}
  // All tasks are over.
  ~Workers() { Stop(); }

  class Task {
   public:
    // What is due now is done. When it is to be called again, unless it is woken before, monotonic
    // ms; nothing: never, it is over.
    using Step = std::function<std::optional<int64_t>()>;
    explicit Task(Step step) : step_(std::move(step)) {}

   private:
    friend class Workers;
    enum class State { kOver, kWaits, kRuns };

    const Step step_;
    // Guarded by the Workers' mutex.
    State state_ = State::kOver;
    bool woken_ = false;  // while it runs
    bool long_ = false;   // it runs, and said that this takes long
    int64_t at_ms_ = 0;   // due, or since when it runs; monotonic
  };

  // Due at once. False: no thread can be started, and there is none.
  bool Add(Task* task);
  // It is due now, or once more when it runs. Of one that is over: nothing.
  void Wake(Task* task);
  // On the thread that runs it: what it does goes on for a while.
  void TakesLong(Task* task);
  bool IsOver(const Task* task);
  // Waits until it is. It is woken once.
  void AwaitOver(Task* task);
  // Gives back what threads that have ended still take. On a thread that may wait for 20 ms.
  void Sweep();
  // Behind the last task: the threads have ended. Not for a task's own thread.
  void Stop();

 private:
  using Due = std::pair<int64_t, Task*>;

  void Run();
  bool WaitLocked(std::unique_lock<std::mutex>* lock);
  void StepLocked(std::unique_lock<std::mutex>* lock);
  // The node is that of a task: none needs memory but the first.
  void PutLocked(std::set<Due>::node_type node, int64_t at_ms);
  int64_t NextLocked() const;
  bool StartLocked();
  void HaveWatchedLocked();

  Clock* const clock_;
  std::mutex mutex_;
  std::condition_variable due_;   // waited on by idle threads
  std::condition_variable over_;  // a task is
  // All guarded by mutex_.
  std::set<Due> waiting_;
  std::set<Due> running_;
  std::list<Thread> threads_;
  size_t alive_ = 0;        // threads that have not ended
  int64_t watched_ms_ = 0;  // until then one of the idle ones sleeps; monotonic, 0: none does
  bool stop_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_WORKERS_H_
