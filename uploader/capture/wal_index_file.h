// WalIndexFile: the committed end of a WAL as the file `-shm` says it, for a database that no
// connection of this process has open and others have.
//
// Owned by a WalEnd; any one thread. SQLite's POSIX locks lie on the `-shm`, and closing any
// descriptor of it drops those of the whole process, also of connections that the shim does not
// know. So a descriptor that was opened here belongs to the process and is closed only once its
// file has lost its name, when nobody can have a lock on it that counts. Nothing is written or
// locked. Cannot fail: what cannot be read says nothing. Nor does a file that nobody uses, left by
// a crash: in EXCLUSIVE locking mode SQLite goes on with the WAL without it.
//
// Format: sqlite.org/walformat.html, 2.1 (native byte order, two copies, salts as in the WAL).

#ifndef BACKSTAY_UPLOADER_CAPTURE_WAL_INDEX_FILE_H_
#define BACKSTAY_UPLOADER_CAPTURE_WAL_INDEX_FILE_H_

#include <optional>
#include <string>
#include <utility>

#include "uploader/base/bytes.h"
#include "uploader/capture/place.h"

namespace backstay {

class WalIndexFile {
 public:
  explicit WalIndexFile(std::string path) : path_(std::move(path)) {}

  // Nothing: there is no such file, nobody uses it, or nobody has finished its header.
  std::optional<WalTarget> Read() const;

 private:
  const std::string path_;
};

// The header's two copies, as they were read.
std::optional<WalTarget> ParseWalIndex(Bytes header);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_CAPTURE_WAL_INDEX_FILE_H_
