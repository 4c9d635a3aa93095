// QuietChecks: no word to the application's log callback about a file handle of ours.
//
// The unix VFS looks at a database file when it opens and closes it, and reports a file that was
// unlinked, renamed or linked twice through sqlite3_log(). For the application's own connections it
// does so anyway. While an object of this class lives, such a look on this thread finds nothing to
// report; on other threads it is what it always was. Done with the VFS's own means of replacing
// system calls (xSetSystemCall), which are as before afterwards; a VFS without them speaks. Any
// thread; one at a time, the others wait for the time of an open or close. Cannot fail.

#ifndef BACKSTAY_VFS_QUIET_CHECKS_H_
#define BACKSTAY_VFS_QUIET_CHECKS_H_

#include <sqlite3.h>

#include <mutex>

namespace backstay {

class QuietChecks {
 public:
  enum When { kOpen, kClose };
  QuietChecks(sqlite3_vfs* vfs, When when) noexcept;
  ~QuietChecks();
  // Which descriptor was looked at last; -1: none was, as far as known.
  int descriptor() const noexcept;
  // A file handle of ours is being opened or closed here.
  static bool OnThisThread() noexcept;
  // No thread of the parent's is at it.
  static void AfterForkInChild() noexcept;
  QuietChecks(const QuietChecks&) = delete;
  QuietChecks& operator=(const QuietChecks&) = delete;

 private:
  sqlite3_vfs* const vfs_;  // NULL: without means
  std::lock_guard<std::mutex> lock_;
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_QUIET_CHECKS_H_
