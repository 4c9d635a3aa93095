// ProcessId: names a process so that another one can tell later whether it lives.
//
// A number alone is given to the next process; together with the time of its start and the boot of
// the machine it is not. Any thread. Without /proc nothing is known, and nothing counts as alive.

#ifndef BACKSTAY_UPLOADER_STATE_PROCESS_ID_H_
#define BACKSTAY_UPLOADER_STATE_PROCESS_ID_H_

#include <cstdint>
#include <string>

namespace backstay {

struct ProcessId {
  int64_t pid = 0;
  uint64_t started = 0;  // clock ticks after the boot; 0: not known
  std::string boot;      // the kernel's id of it

  // As this process sees it: in another PID namespace it has another number, and counts as gone. So
  // does a zombie: it has ended, and its parent has not asked for that yet.
  bool Lives() const;
  // It lives, and has not run for 0.2 s: a signal (SIGSTOP) or a debugger holds it. Waits that
  // long.
  bool Held() const;
};

ProcessId ThisProcess();

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_PROCESS_ID_H_
