// FileLook: what a database file looks like from outside, to see whether anybody changed it.
//
// LookAt() reads the database header through the host and asks stat(2); any thread. Two looks
// differ when a transaction was committed in between (the file change counter,
// sqlite.org/fileformat2.html, 1.3.7) or anything at all was written (the time of modification,
// as fine as the file system's clock). A file that cannot be read gives page_size 0. One that is
// not at its path any more has the counter alone: nobody can open it there.

#ifndef BACKSTAY_UPLOADER_CAPTURE_FILE_LOOK_H_
#define BACKSTAY_UPLOADER_CAPTURE_FILE_LOOK_H_

#include <cstdint>
#include <functional>
#include <string>

#include "uploader/base/bytes.h"
#include "uploader/capture/page_source.h"
#include "uploader/state/positions.h"

namespace backstay {

struct FileLook {
  uint32_t page_size = 0;  // bytes; 0: no database header
  bool rollback = false;   // the header names a rollback-journal mode, not WAL
  uint32_t change = 0;     // file change counter
  uint32_t pages = 0;      // database size
  FileStamp stamp;

  // Nobody wrote to the file between the two.
  bool Same(const FileLook& other) const;
};

// Page size in a database header, bytes; 0 when it is none.
uint32_t PageSizeOfHeader(Bytes header);
// `size`: of the file, bytes.
FileLook ParseLook(Bytes header, int64_t size);
// `size`: asked for behind the header, so that a file which grows in between has an older change
// counter than the next look finds, and never a size that is older than the counter.
FileLook LookAt(const std::string& database_path, const FileReader& file,
                const std::function<int64_t()>& size);
// A rollback journal lies beside the database that has to be played back or is in use: its header
// is valid (fileformat2.html, 3). The journal carries no POSIX locks, so it may be opened.
bool JournalActive(const std::string& database_path);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_CAPTURE_FILE_LOOK_H_
