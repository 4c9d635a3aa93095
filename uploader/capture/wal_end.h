// WalEnd: the committed end of a WAL as the files tell it, for when no connection of this process
// has the wal-index mapped: the wal-index of others says it, else the frames themselves do.
//
// Owned by a CaptureLoop, which calls it on its thread. What it has read once is not read again
// while it is still there. Everything behind the last whole commit frame is ignored, as SQLite's
// own recovery does (sqlite.org/walformat.html, 2.3). A file that cannot be read is kIo.

#ifndef BACKSTAY_UPLOADER_CAPTURE_WAL_END_H_
#define BACKSTAY_UPLOADER_CAPTURE_WAL_END_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "uploader/base/status.h"
#include "uploader/capture/place.h"
#include "uploader/capture/wal_index_file.h"
#include "uploader/capture/wal_reader.h"

namespace backstay {

// The header of the WAL of this database, if it has one.
std::optional<WalHeader> WalHeaderOf(const std::string& database_path);

class WalEnd {
 public:
  explicit WalEnd(const std::string& database_path)
      : database_path_(database_path), index_(database_path + "-shm") {}

  // max_frame is 0 when the database file alone is the database.
  Result<WalTarget> Find();

 private:
  std::optional<WalTarget> Indexed(bool has_header) const;
  Status ReadOn();

  const std::string database_path_;
  const WalIndexFile index_;
  std::optional<WalReader> reader_;
  WalMark end_;         // the last commit
  uint32_t pages_ = 0;  // database size after it
  uint32_t page_size_ = 0;
  std::vector<WalFrame> frames_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_CAPTURE_WAL_END_H_
