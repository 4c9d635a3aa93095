#include "tools/interrupt.h"

#include <pthread.h>

#include <chrono>

namespace backstay {

sigset_t EndingSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  struct sigaction hangup {};
  sigaction(SIGHUP, nullptr, &hangup);
  if (hangup.sa_handler != SIG_IGN) sigaddset(&signals, SIGHUP);
  return signals;
}

Interrupt::Interrupt() : signals_(EndingSignals()) {
  pthread_sigmask(SIG_BLOCK, &signals_, &old_mask_);
  thread_ = std::thread([this] { Await(); });
}

Interrupt::~Interrupt() {
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
  }
  pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
  pthread_sigmask(SIG_SETMASK, &old_mask_, nullptr);
}

void Interrupt::Watch(ReplicaClient* client) {
  std::lock_guard lock(mutex_);
  client_ = client;
  if (interrupted_ && client_ != nullptr) client_->Cancel();
}

bool Interrupt::interrupted() {
  std::lock_guard lock(mutex_);
  return interrupted_;
}

bool Interrupt::Wait(int64_t ms) {
  std::unique_lock lock(mutex_);
  return !came_.wait_for(lock, std::chrono::milliseconds(ms), [this] { return interrupted_; });
}

void Interrupt::Await() {
  while (true) {
    int signal = 0;
    sigwait(&signals_, &signal);
    std::lock_guard lock(mutex_);
    if (ended_) return;
    interrupted_ = true;
    came_.notify_all();
    if (client_ != nullptr) client_->Cancel();
  }
}

}  // namespace backstay
