#include "uploader/engine/term_signal.h"

#include <semaphore.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <memory>
#include <utility>

#include "uploader/base/thread.h"

namespace backstay {
namespace {

// Used in a signal handler, and never destroyed: that may run at any time.
sem_t bell;
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
  if (getpid() != owner.load() || sem_post(&bell) != 0) {
    Install(SIG_DFL);
    raise(SIGTERM);  // delivered when this returns
  }
  errno = error;
}

void Listen(const std::function<void()>& drain) {
  for (;;) {
    if (sem_wait(&bell) != 0 || !IsOurs()) continue;
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
  if (sem_init(&bell, /*pshared=*/0, 0) != 0) return false;
  owner = getpid();
  auto listener = std::make_unique<Thread>();
  if (!listener->Start("backstay-term", [drain = std::move(drain)] { Listen(drain); }))
    return false;
  // It runs until the process is gone.
  static_cast<void>(listener.release());
  Install(&OnTerm);
  return true;
}

void TermSignal::GiveBack() noexcept {
  if (owner.load() != 0 && IsOurs()) Install(SIG_DFL);
}

}  // namespace backstay
