#include "uploader/engine/term_signal.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <thread>
#include <utility>

#include "uploader/engine/threads.h"

namespace backstay {
namespace {

// Used in a signal handler. The descriptor is never closed: the handler may run at any time.
std::atomic<int> bell{-1};
std::atomic<pid_t> owner{0};

void OnTerm(int);

bool IsOurs() {
  struct sigaction now {};
  return sigaction(SIGTERM, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 &&
         now.sa_handler == &OnTerm;
}

bool IsDefault() {
  struct sigaction now {};
  return sigaction(SIGTERM, nullptr, &now) == 0 && (now.sa_flags & SA_SIGINFO) == 0 &&
         now.sa_handler == SIG_DFL;
}

void Install(void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  sigaction(SIGTERM, &action, nullptr);
}

void OnTerm(int) {
  // Called by a handler that the program has put in its place: that one decides.
  if (!IsOurs()) return;
  const int error = errno;
  const uint64_t one = 1;
  if (getpid() != owner.load() || write(bell.load(), &one, sizeof one) != sizeof one) {
    Install(SIG_DFL);
    raise(SIGTERM);  // delivered when this returns
  }
  errno = error;
}

void Listen(const std::function<void()>& drain) {
  for (;;) {
    uint64_t count = 0;
    if (read(bell.load(), &count, sizeof count) != sizeof count) continue;
    if (!IsOurs()) continue;
    drain();
    if (!IsOurs()) continue;
    Install(SIG_DFL);
    // The first process of a container is not ended by a default action.
    if (getpid() == 1) _exit(128 + SIGTERM);
    kill(getpid(), SIGTERM);
  }
}

}  // namespace

bool TermSignal::Take(std::function<void()> drain) {
  if (!IsDefault()) return false;
  const int fd = eventfd(0, EFD_CLOEXEC);
  if (fd < 0) return false;
  bell = fd;
  owner = getpid();
  std::thread listener;
  const bool started = StartThread(
      "backstay-term", [drain = std::move(drain)] { Listen(drain); }, &listener);
  if (!started) {
    close(fd);
    return false;
  }
  listener.detach();
  Install(&OnTerm);
  return true;
}

void TermSignal::GiveBack() noexcept {
  if (owner.load() != 0 && IsOurs()) Install(SIG_DFL);
}

}  // namespace backstay
