// ToldWrite: which of the engine's handles was told that a transaction in a rollback-journal mode
// has begun to write to the database file.
//
// One per Database, whose handle may be another by the time the transaction ends: the engine may
// let go of one at any moment, and another thread may ask for the next. The end goes to the handle
// that was told of the beginning, and every other one learns by HiddenFrom() that what the file
// holds is not committed. Begin() and End() are called on the thread that has the file's write
// lock, so they come in turn; HiddenFrom() on any. Cannot fail.

#ifndef BACKSTAY_VFS_TOLD_WRITE_H_
#define BACKSTAY_VFS_TOLD_WRITE_H_

#include <atomic>

#include "uploader/engine_api.h"
#include "vfs/page_writes.h"

namespace backstay {

class ToldWrite {
 public:
  // Before the first page is written. `db`: to be told; NULL: nobody is, also at the end.
  void Begin(const BackstayEngine* engine, BackstayDb* db) noexcept;
  // The transaction ended, and its lock is still held. False: nobody was told.
  bool End(const BackstayEngine* engine, const PageWrites::Pages& pages, bool committed) noexcept;
  // A transaction is under way that began without a word to this handle.
  bool HiddenFrom(const BackstayDb* db) const noexcept {
    return open_.load() && told_.load() != db;
  }

 private:
  std::atomic<BackstayDb*> told_ = nullptr;  // set before open_
  std::atomic<bool> open_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_TOLD_WRITE_H_
