// What `restore` leaves beside the database so that the next writer goes on where the replica ends
// and uploads nothing again: the page hash index with the position it stands for.
//
// Called by the tool, one thread; the database must not be open. Fails with kIo or kDenied when the
// state folder cannot be written; the restored database is good all the same.

#ifndef BACKSTAY_UPLOADER_STATE_RESTORED_H_
#define BACKSTAY_UPLOADER_STATE_RESTORED_H_

#include <cstdint>
#include <string>
#include <vector>

#include "uploader/base/status.h"
#include "uploader/format/keys.h"

namespace backstay {

struct RestoredState {
  Identity identity;
  std::string replica;           // ReplicaClient::Describe() of the source
  size_t number = 0;             // of that replica among those of the database, from 0
  uint64_t epoch = 0;            // highest epoch seen in the log
  uint64_t next_log_number = 1;  // one after the last object that was applied
  uint64_t void_below = 0;       // as in ShipState
  uint64_t segment_number = 0;   // last segment that was applied
  uint64_t segment_hash = 0;
  uint64_t txid = 0;  // of the restored state
  int64_t time_ms = 0;
  int64_t restored_ms = 0;            // wall clock
  std::vector<uint64_t> page_hashes;  // [pgno - 1]; 0 for the lock-byte page
  // False when the restore stopped before the end of the log (-timestamp, -txid): the next writer
  // must not continue the log from here as if it were its end.
  bool at_end = true;
  uint64_t base = 0;      // as in ShipState
  bool new_base = false;  // likewise
};

// Writes <database>-backstay/ with the index; replaces what an earlier life left there. The folder
// and its files get the owner of the database file.
Status WriteRestoredState(const std::string& database_path, const RestoredState& state);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_RESTORED_H_
