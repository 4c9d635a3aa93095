// ParallelOrdered: produce on several threads, consume in order on the calling one.
//
// Used by replica/ to overlap requests. The threads live as long as the call; results wait in
// memory until it is their turn, never more of them than the limits allow. The first error, of
// either side, ends the call once the calls under way have returned. Memory that runs out in
// `produce` is an error like others; elsewhere the caller gets std::bad_alloc, never the threads,
// which allocate nothing outside `produce`.

#ifndef BACKSTAY_UPLOADER_REPLICA_PARALLEL_H_
#define BACKSTAY_UPLOADER_REPLICA_PARALLEL_H_

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "uploader/base/caught.h"
#include "uploader/base/status.h"
#include "uploader/base/thread.h"

namespace backstay {

struct ParallelLimits {
  size_t threads = 1;
  size_t window = 1;  // results that are under way or wait for their turn
  // The same in bytes, where `bytes` tells what one of them takes while it is made, and `kept` what
  // it takes from then on, until it was consumed (null: as much). One is always under way.
  uint64_t room = 0;
  std::function<uint64_t(size_t index)> bytes = nullptr;
  std::function<uint64_t(size_t index)> kept = nullptr;
};

template <typename T>
class ParallelOrdered {
 public:
  using Produce = std::function<Result<T>(size_t index)>;
  using Consume = std::function<Status(size_t index, T value)>;

  // produce(0) … produce(count - 1) on at most `threads` threads; consume in order.
  static Status Run(size_t count, const ParallelLimits& limits, const Produce& produce,
                    const Consume& consume) {
    ParallelOrdered run(count, limits, produce);
    // A single one needs nobody else.
    if (count > 1) run.Start(std::min(std::max<size_t>(limits.threads, 1), count));
    return run.ConsumeAll(consume);
  }
  static Status Run(size_t count, size_t threads, size_t window, const Produce& produce,
                    const Consume& consume) {
    return Run(count, ParallelLimits{.threads = threads, .window = window}, produce, consume);
  }

 private:
  ParallelOrdered(size_t count, const ParallelLimits& limits, const Produce& produce)
      : count_(count),
        window_(std::min(std::max<size_t>(limits.window, 1), count)),
        limits_(limits),
        produce_(produce),
        ready_(window_) {}
  ~ParallelOrdered() { Stop(); }

  void Start(size_t threads) {
    threads_.reserve(threads);
    for (size_t i = 0; i < threads; ++i) {
      Thread thread;
      // Fewer threads, or none: the consumer produces for itself.
      if (!thread.Start("backstay-read", [this] { Work(); })) return;
      threads_.push_back(std::move(thread));
    }
  }

  Result<T> ProduceOne(size_t index) {
    ReadyToThrow();
    try {
      return produce_(index);
    } catch (const std::exception&) {
      // No finding about the replica; short enough to need no memory.
      return Status(Code::kIo, "out of memory");
    }
  }

  uint64_t BytesOf(size_t index) const { return limits_.bytes ? limits_.bytes(index) : 0; }
  uint64_t KeptOf(size_t index) const {
    return limits_.kept ? limits_.kept(index) : BytesOf(index);
  }

  // REQUIRES: mutex_ is held.
  bool HasRoom() const {
    if (next_ >= consumed_ + window_) return false;
    return next_ == consumed_ || !limits_.bytes || ahead_ + BytesOf(next_) <= limits_.room;
  }

  void Work() {
    std::unique_lock lock(mutex_);
    while (true) {
      room_.wait(lock, [this] { return stop_ || next_ == count_ || HasRoom(); });
      if (stop_ || next_ == count_) return;
      size_t index = next_++;
      ahead_ += BytesOf(index);
      // Each of those that wait wakes the next.
      room_.notify_one();
      lock.unlock();
      Result<T> value = ProduceOne(index);
      lock.lock();
      ready_[index % window_] = std::move(value);
      ahead_ -= BytesOf(index) - KeptOf(index);
      arrived_.notify_one();
    }
  }

  Result<T> Take(size_t index) {
    if (threads_.empty()) return ProduceOne(index);
    std::unique_lock lock(mutex_);
    std::optional<Result<T>>& ready = ready_[index % window_];
    arrived_.wait(lock, [&] { return ready.has_value(); });
    Result<T> value = std::move(*ready);
    ready.reset();
    return value;
  }

  Status ConsumeAll(const Consume& consume) {
    for (size_t i = 0; i < count_; ++i) {
      Result<T> value = Take(i);
      if (!value.ok()) return value.status();
      BACKSTAY_TRY(consume(i, std::move(*value)));
      std::lock_guard lock(mutex_);
      consumed_ = i + 1;
      if (!threads_.empty()) ahead_ -= KeptOf(i);
      room_.notify_one();
    }
    return Status::Ok();
  }

  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    room_.notify_all();
    for (Thread& thread : threads_) thread.Join();
  }

  const size_t count_;
  const size_t window_;
  const ParallelLimits& limits_;
  const Produce& produce_;
  std::vector<Thread> threads_;
  std::mutex mutex_;
  std::condition_variable room_;
  std::condition_variable arrived_;
  std::vector<std::optional<Result<T>>> ready_;  // by index % window_; from here guarded by mutex_
  size_t next_ = 0;
  size_t consumed_ = 0;
  uint64_t ahead_ = 0;  // bytes of what is under way or waits
  bool stop_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_PARALLEL_H_
