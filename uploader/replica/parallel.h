// ParallelOrdered: produce on several threads, consume in order on the calling one.
//
// Used by replica/ to overlap requests. The threads live as long as the call; results wait in
// memory until it is their turn, never more than `window` of them. The first error, of either
// side, ends the call once the calls under way have returned. Nothing thrown by `produce` escapes.

#ifndef BACKSTAY_UPLOADER_REPLICA_PARALLEL_H_
#define BACKSTAY_UPLOADER_REPLICA_PARALLEL_H_

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "uploader/base/status.h"

namespace backstay {

template <typename T>
class ParallelOrdered {
 public:
  using Produce = std::function<Result<T>(size_t index)>;
  using Consume = std::function<Status(size_t index, T value)>;

  // produce(0) … produce(count - 1) on at most `threads` threads; consume in order.
  static Status Run(size_t count, size_t threads, size_t window, const Produce& produce,
                    const Consume& consume) {
    ParallelOrdered run(count, std::max<size_t>(window, 1), produce);
    run.Start(std::min(std::max<size_t>(threads, 1), count));
    Status done = run.ConsumeAll(consume);
    run.Stop();
    return done;
  }

 private:
  ParallelOrdered(size_t count, size_t window, const Produce& produce)
      : count_(count), window_(window), produce_(produce) {}

  void Start(size_t threads) {
    for (size_t i = 0; i < threads; ++i) {
      try {
        threads_.emplace_back([this] { Work(); });
      } catch (const std::system_error&) {
        return;  // fewer threads, or none: the consumer produces for itself
      }
    }
  }

  Result<T> ProduceOne(size_t index) {
    try {
      return produce_(index);
    } catch (const std::bad_alloc&) {
      return Status(Code::kIo, "out of memory");
    }
  }

  void Work() {
    std::unique_lock lock(mutex_);
    while (true) {
      room_.wait(lock, [this] { return stop_ || next_ == count_ || next_ < consumed_ + window_; });
      if (stop_ || next_ == count_) return;
      size_t index = next_++;
      lock.unlock();
      Result<T> value = ProduceOne(index);
      lock.lock();
      ready_.emplace(index, std::move(value));
      arrived_.notify_one();
    }
  }

  Result<T> Take(size_t index) {
    if (threads_.empty()) return ProduceOne(index);
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [&] { return ready_.contains(index); });
    Result<T> value = std::move(ready_.at(index));
    ready_.erase(index);
    return value;
  }

  Status ConsumeAll(const Consume& consume) {
    for (size_t i = 0; i < count_; ++i) {
      Result<T> value = Take(i);
      if (!value.ok()) return value.status();
      BACKSTAY_TRY(consume(i, std::move(*value)));
      std::lock_guard lock(mutex_);
      consumed_ = i + 1;
      room_.notify_all();
    }
    return Status::Ok();
  }

  void Stop() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    room_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  const size_t count_;
  const size_t window_;
  const Produce& produce_;
  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable room_;
  std::condition_variable arrived_;
  std::map<size_t, Result<T>> ready_;  // this and below: guarded by mutex_
  size_t next_ = 0;
  size_t consumed_ = 0;
  bool stop_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_PARALLEL_H_
