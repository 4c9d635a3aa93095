#include "uploader/engine/threads.h"

#include <pthread.h>

#include <csignal>
#include <string>
#include <system_error>
#include <utility>

#include "uploader/base/caught.h"

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
    // Whatever happens ends our thread at most, never the host.
    *thread = std::thread(
        [body = std::move(body)] { (void)Caught([&] { return body(), Status::Ok(); }); });
    pthread_setname_np(thread->native_handle(), std::string(name).substr(0, 15).c_str());
  } catch (const std::exception&) {
    started = false;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

}  // namespace backstay
