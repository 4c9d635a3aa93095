// Supervisor: runs something in a child process and stands in front of it as if it were not there.
//
// Main thread of a process that has no other, and no other children that it waits for. Signals
// that can be caught go on to the child, with a terminal also job control, and how the child ended
// is how this process ends. As the first process of a container it also collects what others have
// left behind. A child does not outlive this process.

#ifndef BACKSTAY_TOOLS_SUPERVISOR_H_
#define BACKSTAY_TOOLS_SUPERVISOR_H_

#include <sys/types.h>

#include <csignal>
#include <functional>

#include "uploader/base/status.h"

namespace backstay {

class Supervisor {
 public:
  // From here on signals wait for a child.
  Supervisor();

  // Runs `body` in a child, whose exit status is what it returns, and waits for its end: the status
  // of wait(2). The child's signals are as they were before this object was made.
  Result<int> Run(const std::function<int()>& body);
  // The same, with signals kept from the child: it ends by itself, soon.
  Result<int> RunUndisturbed(const std::function<int()>& body);

  // The signal that came during a Run() and asks for an end; 0: none did.
  int told_to_end() const { return told_to_end_; }

  // Ends this process as the child has: by the same signal where that is possible, else (as process
  // 1) the value is the exit status to end with, 128 and the signal's number.
  static int EndAs(int wait_status);
  // "exit status 3", "signal 9 (Killed)"
  static std::string Describe(int wait_status);

 private:
  Result<int> Start(const std::function<int()>& body, bool forwards);
  void BecomeChild(bool forwards) const;
  int Await(bool forwards);
  // True: the child has ended.
  bool Collect(int* wait_status);
  void PassOn(const siginfo_t& info) const;

  const bool terminal_;  // there is one that controls this process: it signals the child as well
  const pid_t parent_;   // this process
  const sigset_t ending_;
  int told_to_end_ = 0;
  pid_t child_ = 0;
  sigset_t all_;
  sigset_t old_mask_;
  struct sigaction old_child_action_;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_SUPERVISOR_H_
