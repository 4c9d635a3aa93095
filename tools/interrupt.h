// Interrupt: SIGINT, SIGTERM and SIGHUP end a command in good order.
//
// Made on the main thread before any other thread starts: the signals are blocked and awaited by a
// thread of its own, which cancels the client that is being watched. The calls in flight then
// return kCancelled, and the command cleans up as after any error. A second signal changes nothing.

#ifndef BACKSTAY_TOOLS_INTERRUPT_H_
#define BACKSTAY_TOOLS_INTERRUPT_H_

#include <csignal>
#include <mutex>
#include <thread>

#include "uploader/storage/replica_client.h"

namespace backstay {

class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // `client` outlives this object or the next Watch.
  void Watch(ReplicaClient* client);

 private:
  void Await();

  sigset_t signals_;
  sigset_t old_mask_;
  std::mutex mutex_;
  ReplicaClient* client_ = nullptr;  // this and below: guarded by mutex_
  bool interrupted_ = false;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_INTERRUPT_H_
