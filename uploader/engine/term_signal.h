// TermSignal: SIGTERM, for programs that leave it to its default action (drain-on-sigterm). That
// action ends the process at once; with this one it ends as it would have, but ships first.
//
// One per process, used by Engine. Take() changes nothing where the program handles, ignores or
// later handles the signal itself; a handler of the program's that calls the one it found finds
// nothing done by it. Cannot fail: without a thread the signal stays as it is.

#ifndef BACKSTAY_UPLOADER_ENGINE_TERM_SIGNAL_H_
#define BACKSTAY_UPLOADER_ENGINE_TERM_SIGNAL_H_

#include <functional>

namespace backstay {

class TermSignal {
 public:
  // From here on `drain` is called when the signal comes, on a thread of its own; then the process
  // ends by it. Once. False: the signal is somebody else's, or there is no thread.
  static bool Take(std::function<void()> drain);
  // In a forked child, which has no such thread: the default action is back. Async-signal-safe.
  static void GiveBack() noexcept;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_TERM_SIGNAL_H_
