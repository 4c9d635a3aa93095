#include "uploader/engine/workers.h"

#include <algorithm>
#include <chrono>
#include <limits>
#include <thread>

#include "uploader/base/caught.h"

namespace backstay {
namespace {

constexpr size_t kAtWork = 2;
// A step that runs for so long may hang.
constexpr int64_t kLongMs = 100;
constexpr int64_t kNever = std::numeric_limits<int64_t>::max();
// The clock may have been moved.
constexpr int64_t kMostSleepMs = 60000;
// One that is stepped, by a test, is looked at so often.
constexpr int64_t kStepMs = 2;
// A thread that has had nothing to do for so long ends, but for the last one.
constexpr int64_t kSpareMs = 10000;

std::chrono::milliseconds Ms(int64_t ms) { return std::chrono::milliseconds(ms); }

}  // namespace

bool Workers::Add(Task* task) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (task->state_ != Task::State::kOver) return true;
  std::set<Due> one;
  const Status memory = Caught([&] { return one.emplace(0, task), Status::Ok(); });
  if (!memory.ok() || (alive_ == 0 && !StartLocked())) return false;
  PutLocked(one.extract(one.begin()), clock_->MonotonicMs());
  return true;
}

void Workers::PutLocked(std::set<Due>::node_type node, int64_t at_ms) {
  Task* task = node.value().second;
  task->state_ = Task::State::kWaits;
  task->at_ms_ = at_ms;
  node.value().first = at_ms;
  waiting_.insert(std::move(node));
  HaveWatchedLocked();
  due_.notify_one();
}

void Workers::Wake(Task* task) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (task->state_ == Task::State::kRuns) task->woken_ = true;
  if (task->state_ != Task::State::kWaits) return;
  const int64_t now = clock_->MonotonicMs();
  if (task->at_ms_ > now) PutLocked(waiting_.extract({task->at_ms_, task}), now);
}

void Workers::TakesLong(Task* task) {
  std::lock_guard<std::mutex> lock(mutex_);
  task->long_ = true;
  due_.notify_one();
}

// While a task waits some thread looks at the clock, whatever the others are stuck in. One that was
// started and has not come to it yet is as good. Where none can be started it is tried again with
// the next task that is put there.
void Workers::HaveWatchedLocked() {
  if (!waiting_.empty() && alive_ == running_.size()) (void)StartLocked();
}

bool Workers::StartLocked() {
  if (stop_) return false;
  threads_.remove_if([](const Thread& thread) { return thread.over(); });
  const Status room = Caught([this] { return threads_.emplace_back(), Status::Ok(); });
  if (!room.ok()) return false;
  if (threads_.back().Start("backstay-work", [this] { Run(); })) return ++alive_, true;
  threads_.pop_back();
  return false;
}

void Workers::Run() {
  std::unique_lock<std::mutex> lock(mutex_);
  while (WaitLocked(&lock)) StepLocked(&lock);
  --alive_;
}

// When the next step may begin, monotonic ms: one is due, and fewer than two threads are at work
// that do not take long, or hang.
int64_t Workers::NextLocked() const {
  if (waiting_.empty()) return kNever;
  size_t at_work = 0;
  int64_t least = kNever;
  for (const auto& [since, task] : running_) {
    const int64_t until = since + kLongMs;
    if (task->long_ || until <= clock_->MonotonicMs()) continue;
    ++at_work;
    least = std::min(least, until);
  }
  const int64_t due = waiting_.begin()->first;
  return at_work < kAtWork ? due : std::max(due, least);
}

// False: this thread is one too many.
bool Workers::WaitLocked(std::unique_lock<std::mutex>* lock) {
  for (bool spare = false;;) {
    if (stop_ || (waiting_.empty() && running_.empty())) return false;
    const int64_t now = clock_->MonotonicMs();
    const int64_t next = NextLocked();
    if (next <= now) return true;
    // One looks at the clock for all.
    const bool watches = watched_ms_ == 0 || watched_ms_ > next;
    if (spare && !watches) return false;
    const int64_t most = clock_ == RealClock() ? kMostSleepMs : kStepMs;
    const int64_t until = std::min(next, now + (watches ? most : kSpareMs));
    if (watches) watched_ms_ = until;
    spare = due_.wait_for(*lock, Ms(until - now)) == std::cv_status::timeout;
    if (watches && watched_ms_ == until) watched_ms_ = 0;
  }
}

void Workers::StepLocked(std::unique_lock<std::mutex>* lock) {
  std::set<Due>::node_type node = waiting_.extract(waiting_.begin());
  Task* const task = node.value().second;
  task->state_ = Task::State::kRuns;
  const int64_t since = clock_->MonotonicMs();
  node.value().first = since;
  running_.insert(std::move(node));
  HaveWatchedLocked();
  // Somebody else looks at the clock meanwhile.
  if (!waiting_.empty()) due_.notify_one();
  lock->unlock();
  const std::optional<int64_t> next = task->step_();
  lock->lock();
  node = running_.extract({since, task});
  task->long_ = false;
  const bool woken = std::exchange(task->woken_, false);
  if (next) return PutLocked(std::move(node), woken ? clock_->MonotonicMs() : *next);
  task->state_ = Task::State::kOver;
  over_.notify_all();
  // Behind the last one all threads end.
  if (waiting_.empty() && running_.empty()) due_.notify_all();
}

bool Workers::IsOver(const Task* task) {
  std::lock_guard<std::mutex> lock(mutex_);
  return task->state_ == Task::State::kOver;
}

void Workers::AwaitOver(Task* task) {
  Wake(task);
  std::unique_lock<std::mutex> lock(mutex_);
  const auto is_over = [task] { return task->state_ == Task::State::kOver; };
  while (!over_.wait_for(lock, Ms(kLongMs), is_over)) HaveWatchedLocked();
}

// Without a task all of them are about to end.
void Workers::Sweep() {
  constexpr int kTries = 20;  // 1 ms each
  for (int i = 0; i < kTries; ++i) {
    std::list<Thread> ended;
    bool more = false;
    {
      std::lock_guard<std::mutex> lock(mutex_);
      for (auto it = threads_.begin(); it != threads_.end();) {
        const auto thread = it++;
        if (thread->over()) ended.splice(ended.end(), threads_, thread);
      }
      more = waiting_.empty() && running_.empty() && !threads_.empty();
    }
    if (!more) return;
    std::this_thread::sleep_for(Ms(1));
  }
}

// What hangs is not waited for.
void Workers::Stop() {
  std::list<Thread> threads;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
    due_.notify_all();
    if (running_.empty()) threads.swap(threads_);
  }
  for (Thread& thread : threads) thread.Join();
}

}  // namespace backstay
