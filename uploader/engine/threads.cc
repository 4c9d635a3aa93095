#include "uploader/engine/threads.h"

#include <pthread.h>

#include <csignal>
#include <exception>
#include <string>
#include <system_error>
#include <utility>

namespace backstay {

bool StartThread(const char* name, std::function<void()> body, std::thread* thread) {
  // A thread inherits its creator's mask: with everything blocked, the host's handlers never run on
  // ours.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool started = true;
  try {
    // Out of memory ends our thread, never the host: what it leaves undone shows as lag.
    *thread = std::thread([body = std::move(body)] {
      try {
        body();
      } catch (const std::exception&) {
      }
    });
    pthread_setname_np(thread->native_handle(), std::string(name).substr(0, 15).c_str());
  } catch (const std::system_error&) {
    started = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

}  // namespace backstay
