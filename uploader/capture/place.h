// Place: the evidence of where in a database's files that stands which is encoded. Judge() says
// what it tells of what is there now.
//
// Values, and a function of them: no file is touched, nothing fails, any thread. A Capture owns its
// place and looks at the files for it.
//
// SQLite counts the commits in the wal-index, which is made anew once nobody has it mapped, and
// then counts from its own beginning. The salts of a WAL tell it from its predecessor
// (walformat.html), and the stamp of the database file tells whether anybody wrote to it. None of
// the three is enough alone: what can vouch for a place depends on where it lies.

#ifndef BACKSTAY_UPLOADER_CAPTURE_PLACE_H_
#define BACKSTAY_UPLOADER_CAPTURE_PLACE_H_

#include <cstdint>
#include <optional>

#include "uploader/state/positions.h"

namespace backstay {

// The committed end, as the host, the wal-index or the files tell it.
struct WalTarget {
  uint32_t salt1 = 0;
  uint32_t salt2 = 0;
  uint32_t max_frame = 0;
  uint32_t pages = 0;
  uint32_t change = 0;
  bool exclusive = false;
  bool rollback = false;  // there is no WAL: `pages` is all that counts
  bool found = false;     // by WalEnd, in the files
  bool held = false;      // by a connection of this process, which keeps the wal-index

  // `change` says how many commits there were, also of what is gone from the files.
  bool counted() const { return !exclusive && !rollback && !found; }
  // In WAL mode, without a WAL: the database file is all there is, and its stamp what tells.
  bool at_rest() const { return found && max_frame == 0; }
  bool SameWal(const WalTarget& other) const {
    return salt1 == other.salt1 && salt2 == other.salt2;
  }
  bool SameWal(const WalMark& mark) const { return salt1 == mark.salt1 && salt2 == mark.salt2; }
};

class Place {
 public:
  // Nowhere: nothing in the files vouches for what is encoded.
  Place() = default;
  // As a life before has left it. What it counted is gone with it.
  Place(const WalMark& wal, const FileStamp& file) : wal_(wal), file_(file) {}

  // All up to that frame is encoded. Salts of 0: no WAL is known.
  const WalMark& wal() const { return wal_; }
  bool in_wal() const { return (wal_.salt1 | wal_.salt2) != 0; }
  // The file alone was what is encoded when it had this stamp. Size -1: it is not, or not known.
  const FileStamp& file() const { return file_; }
  bool in_file() const { return file_.size >= 0; }
  const FileStamp& entry() const { return entry_; }
  std::optional<uint32_t> commits() const { return commits_; }
  bool finished() const { return finished_; }
  // All that the wal-index has counted up to there is encoded.
  bool HasSeen(uint32_t change) const { return commits_ == change; }
  // The wal-index had counted more at `to` than here, as far as known.
  bool IsBefore(const WalTarget& to) const;
  // Frames between here and `to`.
  uint32_t Behind(const WalTarget& to) const;

  // At the start of a WAL, whose frames are what is encoded from here on.
  void EnterWal(const WalMark& start);
  void Encoded(const WalMark& mark) { wal_ = mark; }
  // At `to`, if commits are counted there; else it is not known how many there were.
  void Counts(const WalTarget& to);
  void Counts(std::optional<uint32_t> commits) { commits_ = commits; }
  // All of the WAL is encoded, and its content is about to go.
  void FinishWal() { finished_ = true; }
  // The WAL went into the file, which has this stamp. Its salts still tell the next one.
  void WalGone(const FileStamp& stamp) { file_ = stamp; }
  // The file alone is what is encoded: transactions without a WAL, or nothing since it was opened.
  void InFile(const FileStamp& stamp);
  // The stamp that the file had when it entered WAL mode in this process.
  void EntersWalMode(const FileStamp& stamp) { entry_ = stamp; }

 private:
  WalMark wal_;
  FileStamp file_;
  FileStamp entry_;
  std::optional<uint32_t> commits_;  // counted by the wal-index
  bool finished_ = false;
};

// What is there. Only of another WAL than the place's the commits are asked for, and the file's
// stamp where there is no frame, or another WAL.
struct Observation {
  WalTarget to;
  // The database was opened since: the first look. What was counted before says nothing.
  bool first = false;
  std::optional<WalMark> wal;  // the start of the WAL that lies there; none: no file, or no header
  bool mark_holds = false;     // it has the frame of the place, with its checksum
  uint32_t commits = 0;        // in it, up to `to`
  FileStamp file;              // of the database file
};

enum class Verdict {
  kHere,     // whatever is committed and not encoded follows from here
  kNextWal,  // the same, from the start of the WAL of `to`
  kWait,     // the files are just being changed: look again
  kCompare,  // something may have been committed that the files do not show any more
};

Verdict Judge(const Place& place, const Observation& seen);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_CAPTURE_PLACE_H_
