// Interrupt: SIGINT, SIGTERM and SIGHUP end a command in good order.
//
// Made on the main thread before any other thread starts: the signals are blocked and awaited by a
// thread of its own, which cancels the client that is being watched. The calls in flight then
// return kCancelled, and the command cleans up as after any error. A second signal changes nothing.

#ifndef BACKSTAY_TOOLS_INTERRUPT_H_
#define BACKSTAY_TOOLS_INTERRUPT_H_

#include <condition_variable>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <thread>

#include "uploader/storage/replica_client.h"

namespace backstay {

// Those three; SIGHUP only where it is not ignored already, as under nohup.
sigset_t EndingSignals();

class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;

  // `client` outlives this object or the next Watch; null: none.
  void Watch(ReplicaClient* client);
  // Until so much time is over, or a signal has come: then false.
  bool Wait(int64_t ms);
  // A signal has come.
  bool interrupted();

 private:
  void Await();

  const sigset_t signals_;
  sigset_t old_mask_;
  std::mutex mutex_;
  std::condition_variable came_;
  ReplicaClient* client_ = nullptr;  // this and below: guarded by mutex_
  bool interrupted_ = false;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_INTERRUPT_H_
