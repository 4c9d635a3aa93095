// NoSignals: while it lives, no handler of the host runs on this thread; nor on what the thread
// starts meanwhile, which inherits its mask.
//
// A value on the stack of one thread. Cannot fail. Async-signal-safe.

#ifndef BACKSTAY_UPLOADER_BASE_NO_SIGNALS_H_
#define BACKSTAY_UPLOADER_BASE_NO_SIGNALS_H_

#include <signal.h>

namespace backstay {

class NoSignals {
 public:
  NoSignals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~NoSignals() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  NoSignals(const NoSignals&) = delete;
  NoSignals& operator=(const NoSignals&) = delete;

 private:
  sigset_t before_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_BASE_NO_SIGNALS_H_
