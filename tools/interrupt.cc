#include "tools/interrupt.h"

#include <pthread.h>

namespace backstay {

Interrupt::Interrupt() {
  sigemptyset(&signals_);
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&signals_, signal);
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
  if (interrupted_) client_->Cancel();
}

void Interrupt::Await() {
  while (true) {
    int signal = 0;
    sigwait(&signals_, &signal);
    std::lock_guard lock(mutex_);
    if (ended_) return;
    interrupted_ = true;
    if (client_ != nullptr) client_->Cancel();
  }
}

}  // namespace backstay
