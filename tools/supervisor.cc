#include "tools/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "tools/interrupt.h"

namespace backstay {
namespace {

bool HasTerminal() {
  const int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (fd < 0) return false;
  close(fd);
  return true;
}

bool IsTerminalStop(int signal) {
  return signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

// Sent to all in front of the terminal, the child among them. Of a hang-up the kernel tells the
// leader of the session alone.
bool IsForForeground(const siginfo_t& info) {
  if (info.si_code != SI_KERNEL) return false;
  const int signal = info.si_signo;
  return signal == SIGINT || signal == SIGQUIT || signal == SIGWINCH || IsTerminalStop(signal);
}

}  // namespace

Supervisor::Supervisor() : terminal_(HasTerminal()), parent_(getpid()), ending_(EndingSignals()) {
  sigfillset(&all_);
  sigprocmask(SIG_BLOCK, &all_, &old_mask_);
  // Who inherits that children are ignored is never told of their end.
  struct sigaction standard {};
  standard.sa_handler = SIG_DFL;
  sigaction(SIGCHLD, &standard, &old_child_action_);
}

Result<int> Supervisor::Run(const std::function<int()>& body) { return Start(body, true); }

Result<int> Supervisor::RunUndisturbed(const std::function<int()>& body) {
  return Start(body, false);
}

Result<int> Supervisor::Start(const std::function<int()>& body, bool forwards) {
  fflush(nullptr);
  child_ = fork();
  if (child_ < 0) return Status::Errno("start a process", errno);
  if (child_ > 0) return Await(forwards);
  BecomeChild(forwards);
  // With the handlers that the body has registered.
  exit(body());
}

// Without a terminal in a group of its own: what is sent to the group of this process reaches it
// once, not twice. With one it belongs to the job that the shell knows.
void Supervisor::BecomeChild(bool forwards) const {
  if (!terminal_) setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent_) _exit(EXIT_FAILURE);
  sigaction(SIGCHLD, &old_child_action_, nullptr);
  if (forwards) sigprocmask(SIG_SETMASK, &old_mask_, nullptr);
}

int Supervisor::Await(bool forwards) {
  for (;;) {
    siginfo_t info{};
    if (sigwaitinfo(&all_, &info) < 0) continue;  // stopped and continued
    int wait_status = 0;
    if (info.si_signo == SIGCHLD) {
      if (Collect(&wait_status)) return wait_status;
    } else if (forwards) {
      if (sigismember(&ending_, info.si_signo) == 1) told_to_end_ = info.si_signo;
      PassOn(info);
    }
  }
}

bool Supervisor::Collect(int* wait_status) {
  bool ended = false;
  for (;;) {
    int status = 0;
    const pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED);
    if (pid <= 0) return ended;
    if (pid != child_) continue;
    if (!WIFSTOPPED(status)) {
      *wait_status = status;
      ended = true;
    } else if (terminal_ && IsTerminalStop(WSTOPSIG(status))) {
      // The shell waits for this process, not for the child.
      raise(SIGSTOP);
    }
  }
}

void Supervisor::PassOn(const siginfo_t& info) const {
  if (terminal_ && IsForForeground(info)) return;
  if (info.si_code == SI_QUEUE) {
    sigqueue(child_, info.si_signo, info.si_value);
  } else {
    kill(child_, info.si_signo);
  }
}

int Supervisor::EndAs(int wait_status) {
  if (!WIFSIGNALED(wait_status)) return WEXITSTATUS(wait_status);
  const int signal = WTERMSIG(wait_status);
  if (getpid() != 1) {
    const rlimit none{0, 0};  // the core is the child's
    setrlimit(RLIMIT_CORE, &none);
    struct sigaction standard {};
    standard.sa_handler = SIG_DFL;
    sigaction(signal, &standard, nullptr);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, signal);
    raise(signal);
    sigprocmask(SIG_UNBLOCK, &one, nullptr);
  }
  return 128 + signal;
}

std::string Supervisor::Describe(int wait_status) {
  if (!WIFSIGNALED(wait_status)) return "exit status " + std::to_string(WEXITSTATUS(wait_status));
  const int signal = WTERMSIG(wait_status);
  return "signal " + std::to_string(signal) + " (" + strsignal(signal) + ")";
}

}  // namespace backstay
