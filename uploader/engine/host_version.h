// What is known of the host's version of SQLite.
//
// Pure functions, any thread.

#ifndef BACKSTAY_UPLOADER_ENGINE_HOST_VERSION_H_
#define BACKSTAY_UPLOADER_ENGINE_HOST_VERSION_H_

#include <string>

namespace backstay {

// `version` as sqlite3_libversion_number() gives it. True if two connections that checkpoint while
// a third begins the WAL anew can lose commits (sqlite.org/wal.html, 11, "The WAL-Reset Bug").
constexpr bool HasWalResetBug(int version) {
  const bool backport =
      (version >= 3050007 && version < 3051000) || (version >= 3044006 && version < 3045000);
  return version >= 3007000 && version < 3051003 && !backport;
}

// 3040001 is 3.40.1.
std::string SqliteVersionText(int version);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_HOST_VERSION_H_
