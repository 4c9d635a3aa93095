// Ticker: calls a function again and again, on a thread of its own, until it is destroyed.
//
// Owned by one command. Without a thread nothing is called. `tick` throws nothing.

#ifndef BACKSTAY_TOOLS_TICKER_H_
#define BACKSTAY_TOOLS_TICKER_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>

#include "uploader/base/thread.h"

namespace backstay {

class Ticker {
 public:
  Ticker(int64_t interval_ms, std::function<void()> tick)
      : interval_(interval_ms), tick_(std::move(tick)) {
    (void)thread_.Start("backstay-tick", [this] { Run(); });
  }
  ~Ticker() {
    {
      std::lock_guard lock(mutex_);
      ended_ = true;
    }
    end_.notify_all();
    if (thread_.joinable()) thread_.Join();
  }
  Ticker(const Ticker&) = delete;
  Ticker& operator=(const Ticker&) = delete;

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    while (!end_.wait_for(lock, interval_, [this] { return ended_; })) {
      lock.unlock();
      tick_();
      lock.lock();
    }
  }

  const std::chrono::milliseconds interval_;
  const std::function<void()> tick_;
  std::mutex mutex_;
  std::condition_variable end_;
  bool ended_ = false;  // guarded by mutex_
  Thread thread_;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_TICKER_H_
