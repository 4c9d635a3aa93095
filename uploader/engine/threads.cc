#include "uploader/engine/threads.h"

#include <pthread.h>

#include <csignal>
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
    *thread = std::thread(std::move(body));
    pthread_setname_np(thread->native_handle(), std::string(name).substr(0, 15).c_str());
  } catch (const std::system_error&) {
    started = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

}  // namespace backstay
