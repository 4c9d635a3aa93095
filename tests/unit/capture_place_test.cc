// Place × Observation: what vouches for a place, and what does not.

#include <string>

#include "tests/support/catch.h"
#include "uploader/capture/place.h"

namespace backstay {
namespace {

constexpr WalMark kWal{100, 7, 5, 11, 12};        // five frames encoded
constexpr WalMark kStart{100, 7, 0, 1, 2};        // of the same WAL
constexpr WalMark kNext{101, 8, 0, 3, 4};         // its successor
constexpr WalMark kElse{0xaaaa0000, 9, 0, 3, 4};  // of another wal-index
constexpr WalMark kNone{};
constexpr FileStamp kFile{4096, 1000, 1000, 5, true};
constexpr FileStamp kJustChanged{4096, 1000, 1000, 5, false};
constexpr FileStamp kOther{4096, 2000, 2000, 5, true};
constexpr FileStamp kUnknown{};

enum class By { kHost, kOthers, kExclusive, kFiles, kRollback };

WalTarget To(const WalMark& wal, uint32_t frames, uint32_t change, By by) {
  WalTarget to{wal.salt1, wal.salt2, frames, 10, change};
  to.held = by == By::kHost || by == By::kExclusive;
  to.exclusive = by == By::kExclusive;
  to.found = by == By::kFiles;
  to.rollback = by == By::kRollback;
  return to;
}

Place At(const WalMark& wal, const FileStamp& file) { return {wal, file}; }
Place At(const WalMark& wal, const FileStamp& file, uint32_t commits) {
  Place place(wal, file);
  place.Counts(commits);
  return place;
}
Place Entered(const FileStamp& file) {
  Place place;
  place.EntersWalMode(file);
  place.InFile(file);
  return place;
}
Place Finished() {
  Place place(kWal, kUnknown);
  place.FinishWal();
  return place;
}

struct Row {
  const char* what;
  Place place;
  Observation seen;
  Verdict verdict;
};

Observation Following(const WalTarget& to) {
  Observation seen;
  seen.to = to;
  return seen;
}
Observation Following(const WalTarget& to, const FileStamp& file) {
  Observation seen = Following(to);
  seen.file = file;
  return seen;
}
Observation Same(const WalTarget& to, bool holds) {
  Observation seen = Following(to);
  seen.wal = kStart;
  seen.mark_holds = holds;
  return seen;
}
// The WAL of `to` lies there, with so many commits.
Observation Next(const WalTarget& to, const WalMark& wal, uint32_t commits, const FileStamp& file) {
  Observation seen = Following(to);
  seen.wal = wal;
  seen.commits = commits;
  seen.file = file;
  return seen;
}
Observation First(Observation seen) {
  seen.first = true;
  return seen;
}

void Check(std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    INFO(row.what);
    CHECK(static_cast<int>(Judge(row.place, row.seen)) == static_cast<int>(row.verdict));
  }
}

constexpr auto kHere = Verdict::kHere;
constexpr auto kNextWal = Verdict::kNextWal;
constexpr auto kWait = Verdict::kWait;
constexpr auto kCompare = Verdict::kCompare;

}  // namespace

TEST_CASE("a place that is looked for anew", "[capture]") {
  constexpr WalMark kBare{100, 7, 5, 0, 0};
  const WalTarget same = To(kWal, 8, 3, By::kHost);
  const WalTarget none = To(kNone, 0, 3, By::kHost);
  Check({
      {"the frame is there", At(kWal, kUnknown), First(Same(same, true)), kHere},
      {"the frame is another one", At(kWal, kUnknown), First(Same(same, false)), kCompare},
      {"the WAL is shorter", At(kWal, kUnknown), First(Same(To(kWal, 4, 3, By::kHost), true)),
       kCompare},
      {"a frame without checksum", At(kBare, kUnknown), First(Same(same, true)), kCompare},
      {"the file is as it was", At(kNone, kFile), First(Following(none, kFile)), kHere},
      {"and a new WAL holds the rest", At(kNone, kFile),
       First(Next(To(kElse, 4, 1, By::kHost), kElse, 1, kFile)), kHere},
      {"the file was written to", At(kNone, kFile), First(Following(none, kOther)), kCompare},
      {"the WAL went unseen", At(kWal, kUnknown), First(Following(none, kFile)), kCompare},
      {"the file is not to be had", At(kNone, kUnknown), First(Following(none, kUnknown)),
       kCompare},
      {"nothing is known", Place(), First(Following(none, kFile)), kCompare},
      {"what was counted before says nothing", At(kWal, kUnknown, 3),
       First(Next(To(kNext, 2, 4, By::kHost), kNext, 1, kFile)), kCompare},
      {"without a WAL, as it was", At(kNone, kFile),
       First(Following(To(kNone, 0, 0, By::kRollback), kFile)), kHere},
      {"without a WAL, written to", At(kNone, kFile),
       First(Following(To(kNone, 0, 0, By::kRollback), kOther)), kCompare},
  });
}

TEST_CASE("a place whose WAL goes on", "[capture]") {
  Check({
      {"nothing new", At(kWal, kUnknown, 3), Following(To(kWal, 5, 3, By::kHost)), kHere},
      {"an older look", At(kWal, kUnknown, 3), Following(To(kWal, 2, 1, By::kHost)), kHere},
      {"more frames", At(kWal, kUnknown, 3), Same(To(kWal, 8, 4, By::kHost), true), kHere},
      {"the same salts with other frames", At(kWal, kUnknown, 3),
       Same(To(kWal, 8, 4, By::kHost), false), kCompare},
      {"the next WAL without its header", At(kWal, kUnknown, 3),
       Same(To(kNext, 2, 4, By::kHost), true), kWait},
      {"no WAL any more", At(kWal, kUnknown, 3), Following(To(kNext, 2, 4, By::kHost)), kWait},
      {"what is handed over", At(kWal, kUnknown), Following(To(kNone, 0, 0, By::kRollback)), kHere},
  });
}

TEST_CASE("a place whose WAL has begun anew", "[capture]") {
  const WalTarget two = To(kNext, 6, 5, By::kHost);  // two commits in it, five in all
  const WalTarget index = To(kElse, 6, 5, By::kHost);
  Check({
      {"all before it is encoded", At(kWal, kUnknown, 3), Next(two, kNext, 2, kOther), kNextWal},
      {"a commit before it is not", At(kWal, kUnknown, 2), Next(two, kNext, 2, kOther), kCompare},
      {"more than were counted: another wal-index", At(kWal, kUnknown, 4),
       Next(two, kNext, 2, kOther), kCompare},
      {"a connection's first WAL has any salt", At(kWal, kUnknown, 3),
       Next(index, kElse, 2, kOther), kNextWal},
      {"another wal-index that came to the same count", At(kWal, kFile, 3),
       Next(index, kElse, 2, kOther), kCompare},
      {"the same, while nobody here held one", At(kWal, kUnknown, 3),
       Next(To(kElse, 6, 5, By::kOthers), kElse, 2, kOther), kCompare},
      {"the next WAL of the one that others hold", At(kWal, kUnknown, 3),
       Next(To(kNext, 6, 5, By::kOthers), kNext, 2, kOther), kNextWal},
      {"another wal-index, and the file is as it was", At(kWal, kFile, 1),
       Next(index, kElse, 2, kFile), kNextWal},
      {"nobody counts", At(kWal, kUnknown, 3), Next(To(kNext, 6, 0, By::kFiles), kNext, 2, kOther),
       kCompare},
      {"what nobody counts is no count", At(kWal, kUnknown, 3),
       Next(To(kNext, 6, 5, By::kFiles), kNext, 2, kOther), kCompare},
      {"nobody counts, though the last one was finished", Finished(),
       Next(To(kNext, 6, 0, By::kFiles), kNext, 2, kOther), kCompare},
      {"fewer counted than it holds, and the file is as it was", At(kWal, kFile, 4),
       Next(two, kNext, 2, kFile), kNextWal},
      {"nobody counted", At(kWal, kUnknown), Next(two, kNext, 2, kOther), kCompare},
      {"nobody counts, and the file is as it was", At(kWal, kFile),
       Next(To(kNext, 6, 0, By::kFiles), kNext, 2, kFile), kNextWal},
      {"as it was when it entered WAL mode", Entered(kFile), Next(two, kNext, 2, kFile), kNextWal},
      {"and checkpointed since", Entered(kFile), Next(two, kNext, 2, kOther), kNextWal},
      {"EXCLUSIVE, and the last one was finished", Finished(),
       Next(To(kNext, 6, 0, By::kExclusive), kNext, 2, kOther), kNextWal},
      {"EXCLUSIVE, and it was not", At(kWal, kUnknown),
       Next(To(kNext, 6, 0, By::kExclusive), kNext, 2, kOther), kCompare},
      {"the count of a wal-index that is held", At(kNone, kFile, 3), Next(two, kNext, 2, kOther),
       kNextWal},
      {"the count of one that nobody here holds", At(kNone, kFile, 3),
       Next(To(kNext, 6, 5, By::kOthers), kNext, 2, kOther), kCompare},
      {"the same, and the file is as it was", At(kNone, kFile, 3),
       Next(To(kNext, 6, 5, By::kOthers), kNext, 2, kFile), kNextWal},
  });
}

TEST_CASE("a place where no frame is", "[capture]") {
  const WalTarget empty = To(kNext, 0, 3, By::kHost);
  const WalTarget others = To(kNone, 0, 3, By::kOthers);
  const WalTarget at_rest = To(kNone, 0, 0, By::kFiles);
  Check({
      {"the WAL that is encoded was truncated", At(kWal, kUnknown, 3), Following(empty, kOther),
       kHere},
      {"and a commit with it", At(kWal, kUnknown, 2), Following(empty, kOther), kCompare},
      {"the same count by another wal-index", At(kWal, kUnknown, 3),
       Following(To(kNone, 0, 3, By::kHost), kOther), kCompare},
      {"a WAL in which nobody counted was truncated", At(kWal, kUnknown), Following(empty, kOther),
       kCompare},
      {"it went into the file, which is as it was", At(kWal, kFile), Following(others, kFile),
       kHere},
      {"which was written to since", At(kWal, kFile), Following(others, kOther), kCompare},
      {"it had just gone there, and nobody counted", At(kWal, kJustChanged),
       Following(others, kJustChanged), kHere},
      {"another wal-index, and the file is as it was", At(kWal, kFile, 9), Following(others, kFile),
       kHere},
      {"held, nothing was committed", At(kNone, kFile, 3), Following(empty, kOther), kHere},
      {"the same, whatever its salts", At(kNone, kFile, 3),
       Following(To(kElse, 0, 3, By::kHost), kOther), kHere},
      {"held, something was", At(kNone, kFile, 2), Following(empty, kFile), kCompare},
      {"not held, the same count, and the file is another", At(kNone, kFile, 3),
       Following(others, kOther), kCompare},
      {"not held, as it was", At(kNone, kFile, 9), Following(others, kFile), kHere},
      {"not held, as it was within a tick", At(kNone, kJustChanged, 9),
       Following(others, kJustChanged), kCompare},
      {"EXCLUSIVE", At(kWal, kUnknown), Following(To(kNone, 0, 0, By::kExclusive), kOther), kHere},
      {"at rest, as it was", At(kWal, kFile), Following(at_rest, kFile), kHere},
      {"at rest, written to", At(kWal, kFile), Following(at_rest, kOther), kCompare},
      {"at rest, and whoever took the WAL has not said so", At(kWal, kUnknown),
       Following(at_rest, kFile), kWait},
      {"nothing is known", Place(), Following(empty, kFile), kCompare},
      {"handed over", Place(), Following(To(kNone, 0, 0, By::kRollback)), kHere},
  });
}

}  // namespace backstay
