// LiveCopy: the pages of a database as they are at one moment, while an application writes to it.
//
// Main thread. Read through SQLite, without writing: one in WAL mode that nobody has open as the
// file lies there, so that no WAL is left beside it; else in WAL mode from one read transaction,
// which keeps nobody waiting (the WAL cannot begin anew meanwhile); else in small steps, between
// which an application may commit, which begins the copy again. Fails with kIo when it cannot be
// read, or when the application writes without a pause; kCancelled when `stop` says so.

#ifndef BACKSTAY_TOOLS_LIVE_COPY_H_
#define BACKSTAY_TOOLS_LIVE_COPY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "tools/integrity.h"
#include "uploader/base/status.h"

namespace backstay {

struct LiveCopy {
  std::string path;   // of the copy; what SQLite writes into a header of its own is not compared
  int64_t at_ms = 0;  // wall clock: what was committed until then is in it
};

// `to` is made. REQUIRES: there is no file of that name.
Result<LiveCopy> CopyLive(const std::string& database, const std::string& to,
                          const StopCheck& stop);

struct PageDifferences {
  uint64_t pages = 0;
  std::vector<uint32_t> first;  // a few of their numbers
};
// Of a restored database to the copy, page by page; pages that only one has count as well.
Result<PageDifferences> ComparePages(const std::string& restored, const LiveCopy& live,
                                     uint32_t page_size);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_LIVE_COPY_H_
