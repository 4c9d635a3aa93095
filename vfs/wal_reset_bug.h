// What is known of the host's version of SQLite: whether it has the WAL-reset bug.
//
// Pure functions, any thread. May throw std::bad_alloc.

#ifndef BACKSTAY_VFS_WAL_RESET_BUG_H_
#define BACKSTAY_VFS_WAL_RESET_BUG_H_

#include <string>

namespace backstay {

// `version` as sqlite3_libversion_number() gives it. True if two connections that checkpoint while
// a third begins the WAL anew can lose commits (sqlite.org/wal.html, 11, "The WAL-Reset Bug").
constexpr bool HasWalResetBug(int version) {
  const bool backport =
      (version >= 3050007 && version < 3051000) || (version >= 3044006 && version < 3045000);
  return version >= 3007000 && version < 3051003 && !backport;
}

// What the log says of such a version.
std::string DescribeWalResetBug(int version);

}  // namespace backstay

#endif  // BACKSTAY_VFS_WAL_RESET_BUG_H_
