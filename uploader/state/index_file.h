// The file `index` of a state folder: every position, and the page hashes.
//
// Format (little-endian, local to one machine): magic `BKIX`, version 1, page size u32, database id
// 16, length- prefixed replica description, LogHead, WalMark, FileStamp, ShipState, page count u32,
// that many u64 hashes, u64 XXH3-64 of all before. Read and written whole by the capture thread,
// and by restore. A damaged or newer file is kCorrupt or kNewer: the caller goes on without it.

#ifndef BACKSTAY_UPLOADER_STATE_INDEX_FILE_H_
#define BACKSTAY_UPLOADER_STATE_INDEX_FILE_H_

#include <string>
#include <vector>

#include "uploader/base/status.h"
#include "uploader/format/keys.h"
#include "uploader/state/positions.h"

namespace backstay {

struct IndexFile {
  Identity identity;
  std::string replica;
  LogHead encoded;
  WalMark wal;
  FileStamp stamp;
  ShipState ship;
  std::vector<uint64_t> hashes;
};

std::string EncodeIndexFile(const IndexFile& index);
Result<IndexFile> ParseIndexFile(Bytes data);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_INDEX_FILE_H_
