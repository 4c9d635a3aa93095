// Life: where one pipeline stands between its start and its end, and what may be done there.
//
// Owned by Core, guarded by its mutex; holds() alone may be asked without it. Pure: what happens
// goes in by On(), and nothing else changes it. No clock, no lock, no files. No errors: an event
// that does not fit where the pipeline stands changes nothing.
//
// Three questions make it up, and each has one answer at any time:
// - Which process ships, and is what it needs read? (Stage)
// - Does the index say what is committed? (RepairNeed)
// - Does it go on? (its end, and what the process has asked for: to leave, to stop)

#ifndef BACKSTAY_UPLOADER_ENGINE_LIFE_H_
#define BACKSTAY_UPLOADER_ENGINE_LIFE_H_

#include <atomic>
#include <cstdint>
#include <variant>

#include "uploader/base/status.h"

namespace backstay {

// Pages to read again: some that another process has changed, those of segments that were given up,
// or all of them.
enum class RepairNeed { kNone, kSome, kUnknown, kAll };

class Life {
 public:
  // Another process has the lock of the state folder; this one has it.
  struct Follows {};
  struct Leads {};
  // Index, outbox and place in the files are read.
  struct Opened {};
  // They may be half of a change, or of another page size: they are to be read again.
  struct Distrusts {};
  // They were given back: an end that is behind everything.
  struct Freed {};
  // The index says less than what is committed...
  struct Lacks {
    RepairNeed need;
  };
  // ... and says it again, or a first snapshot begins that knows nothing yet.
  struct Compared {};
  // Segments that were encoded are no more: what goes on from them is void.
  struct Drops {};
  // Nothing is shipped any more: for good, or until the database is opened anew.
  struct GivesUp {
    Status why;
  };
  struct LetsGo {
    Status why;
  };
  // The process ends, and sends what waits; since then a try to reach the replica has failed.
  struct Leaves {};
  struct Failed {};
  // The threads are to end.
  struct Stops {};
  using Event = std::variant<Follows, Leads, Opened, Distrusts, Freed, Lacks, Compared, Drops,
                             GivesUp, LetsGo, Leaves, Failed, Stops>;
  void On(const Event& event);

  bool follows() const { return stage_ == Stage::kFollows; }
  // Index, outbox and capture are there, and true.
  bool open() const { return stage_ == Stage::kOpen; }
  RepairNeed need() const { return need_; }
  // The index says what is committed, but for what waits to be encoded.
  bool whole() const { return need_ == RepairNeed::kNone; }
  // Another value: what began with the old one is void.
  uint64_t generation() const { return generation_; }

  // It has given up, or let go. `why` is Ok before that, and stays as it is behind it.
  bool ended() const { return !why_.ok(); }
  const Status& why() const { return why_; }
  // Any thread: false when it has let go.
  bool holds() const { return !let_go_; }
  bool stops() const { return wish_ == Wish::kStop; }
  // Nothing is to be begun, whatever the reason.
  bool over() const { return ended() || stops(); }
  bool leaves() const { return wish_ != Wish::kNone; }
  // Leaves, and has not failed at it so far.
  bool hurries() const { return wish_ == Wish::kLeave; }
  bool failed_to_leave() const { return wish_ == Wish::kFailed; }

 private:
  enum class Stage { kStarts, kFollows, kOpen };
  enum class Wish { kNone, kLeave, kFailed, kStop };

  void Apply(const Follows&);
  void Apply(const Leads&);
  void Apply(const Opened&) { stage_ = Stage::kOpen; }
  void Apply(const Distrusts&) { Close(); }
  void Apply(const Freed&);
  void Apply(const Lacks& lacks);
  void Apply(const Compared&) { need_ = RepairNeed::kNone; }
  void Apply(const Drops&) { ++generation_; }
  void Apply(const GivesUp& event);
  void Apply(const LetsGo& event);
  void Apply(const Leaves&);
  void Apply(const Failed&);
  void Apply(const Stops&) { wish_ = Wish::kStop; }
  void Close();

  Stage stage_ = Stage::kStarts;
  RepairNeed need_ = RepairNeed::kNone;
  Status why_;
  std::atomic<bool> let_go_{false};
  Wish wish_ = Wish::kNone;
  uint64_t generation_ = 0;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_LIFE_H_
