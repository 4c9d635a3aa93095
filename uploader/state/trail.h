// Trail: what processes that do not ship do to the database file, for the one that does. With it
// that one need not compare every page.
//
// The file `trail` of a state folder; one object per pipeline. Append() is called inside the host's
// commit, with the database's lock held, so that steps come in turn: one small write, and never an
// error: a step that is missing costs a comparison. Between() is called on the capture thread, and
// by an application thread of the process that ships. The file starts over when it has grown large.
//
// Record (native, of one machine): u32 length, payload, u32 low half of XXH3-64 of the payload. A
// record that does not match ends what counts.

#ifndef BACKSTAY_UPLOADER_STATE_TRAIL_H_
#define BACKSTAY_UPLOADER_STATE_TRAIL_H_

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "uploader/base/bytes.h"
#include "uploader/base/file.h"
#include "uploader/base/status.h"
#include "uploader/state/positions.h"

namespace backstay {

// Where the content of a database stands: in its file, or at the end of a WAL.
struct TrailPlace {
  FileStamp file;       // size -1: the WAL says
  uint32_t change = 0;  // file change counter; 0: not known
  uint32_t salt1 = 0;
  uint32_t salt2 = 0;
  uint32_t frame = 0;

  // Of one content. Attributes of the file do not count.
  bool Same(const TrailPlace& other) const;
};

struct TrailStep {
  TrailPlace from;
  TrailPlace to;
  uint32_t page_size = 0;  // bytes
  uint32_t pages = 0;      // database size after it
  // Pages that may differ, ascending. None from the end of a WAL to the file it was written into.
  std::vector<uint32_t> pgnos;
};

class Trail {
 public:
  explicit Trail(std::string folder) : folder_(std::move(folder)) {}

  void Append(const TrailStep& step);
  // The steps that lead from one place to the other, in order; where places look the same, as many
  // as there are. Nothing: they are not known.
  std::optional<std::vector<TrailStep>> Between(const TrailPlace& from, const TrailPlace& to);
  // Until the next step.
  void Close();

 private:
  Status AppendLocked(Bytes record);

  const std::string folder_;
  std::mutex mutex_;
  Fd fd_;  // guarded by mutex_
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_TRAIL_H_
