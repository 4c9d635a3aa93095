#include "uploader/capture/place.h"

#include <algorithm>

namespace backstay {

bool Place::IsBefore(const WalTarget& to) const {
  return to.counted() && (!commits_ || static_cast<int32_t>(to.change - *commits_) > 0);
}

uint32_t Place::Behind(const WalTarget& to) const {
  if (!to.SameWal(wal_)) return to.max_frame;
  return to.max_frame - std::min(to.max_frame, wal_.frame);
}

void Place::EnterWal(const WalMark& start) {
  wal_ = start;
  file_ = {};
  entry_ = {};
  finished_ = false;
}

void Place::Counts(const WalTarget& to) {
  commits_ = to.counted() ? std::optional(to.change) : std::nullopt;
}

void Place::InFile(const FileStamp& stamp) {
  wal_ = {};
  file_ = stamp;
  commits_.reset();
}

namespace {

// What a place and the files say together, one question each.
class Judgement {
 public:
  Judgement(const Place& place, const Observation& seen)
      : place_(place), seen_(seen), to_(seen.to) {}

  Verdict First() const {
    if (SameWal()) {
      const bool whole = to_.max_frame >= place_.wal().frame && !place_.wal().bare();
      return whole && seen_.mark_holds ? Verdict::kHere : Verdict::kCompare;
    }
    return HereIf(FileIsAsItWas());
  }

  Verdict WithoutFrames() const {
    if (to_.at_rest()) {
      // Whoever took the WAL away may be just about to say so.
      return place_.in_file() ? HereIf(FileIsAsItWas()) : Verdict::kWait;
    }
    // In EXCLUSIVE locking mode nobody else commits; without a WAL all is handed over.
    if (!to_.counted()) return Verdict::kHere;
    if (CountVouches()) return HereIf(place_.commits() == to_.change && !IsOtherIndex());
    // A change may not show in the times of a file that had just been changed.
    return HereIf(FileIsAsItWas() && (place_.file().settled || !place_.commits()));
  }

  Verdict WithFrames() const {
    if (place_.Behind(to_) == 0) return Verdict::kHere;
    // The wal-index tells of the next WAL before the file has its header.
    if (!seen_.wal || !to_.SameWal(*seen_.wal)) return Verdict::kWait;
    if (SameWal()) return HereIf(seen_.mark_holds);
    return NextFollows() ? Verdict::kNextWal : Verdict::kCompare;
  }

 private:
  static Verdict HereIf(bool holds) { return holds ? Verdict::kHere : Verdict::kCompare; }

  bool SameWal() const { return place_.in_wal() && seen_.wal && place_.wal().SameWal(*seen_.wal); }

  bool FileIsAsItWas() const { return place_.in_file() && place_.file() == seen_.file; }

  // A WAL that begins anew gets the next salt, one of another wal-index any: that one counts from
  // its own beginning, and may have come to the same number.
  bool IsOtherIndex() const {
    constexpr uint32_t kMostRestarts = 1 << 16;
    return place_.in_wal() && to_.salt1 - place_.wal().salt1 > kMostRestarts;
  }

  // It is the same wal-index that counts: held since, or as far as its salts tell. Of a
  // connection's first WAL any salt is the next one, so that they are asked only where the file
  // tells more, or where nobody here holds it: the last one that did may have taken it away.
  bool CountVouches() const {
    if (!place_.commits() || !to_.counted()) return false;
    if (!place_.in_wal()) return to_.held;
    return !IsOtherIndex() || (to_.held && !place_.in_file());
  }

  // No commit between the place and the start of the WAL of `to` can have been missed.
  bool NextFollows() const {
    if (CountVouches()) {
      const auto since = static_cast<int32_t>(to_.change - *place_.commits());
      const auto commits = static_cast<int64_t>(seen_.commits);
      // Where there are fewer than this WAL holds it is another wal-index that counts.
      if (since >= commits) return since == commits;
    }
    if (place_.in_file() && (place_.file() == place_.entry() || FileIsAsItWas())) return true;
    return to_.exclusive && place_.finished();
  }

  const Place& place_;
  const Observation& seen_;
  const WalTarget& to_;
};

}  // namespace

Verdict Judge(const Place& place, const Observation& seen) {
  const Judgement judgement(place, seen);
  if (seen.first) return judgement.First();
  return seen.to.max_frame == 0 ? judgement.WithoutFrames() : judgement.WithFrames();
}

}  // namespace backstay
