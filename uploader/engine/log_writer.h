// LogWriter: the writer's side of the replica's log. Makes sure the replica is ours, takes the log
// over, appends objects, and settles what an ambiguous answer left open.
//
// Owned by Shipper, used on the ship thread only; takes the Core's mutex for short, local work.
// Errors: kFenced (a newer writer owns the log), kInvalid and kCorrupt that no retry can mend (the
// pipeline stops), kDenied, kUnavailable and kContended (try again later).

#ifndef BACKSTAY_UPLOADER_ENGINE_LOG_WRITER_H_
#define BACKSTAY_UPLOADER_ENGINE_LOG_WRITER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "uploader/engine/core.h"
#include "uploader/engine/fence.h"
#include "uploader/engine/replica_look.h"
#include "uploader/format/log_object.h"
#include "uploader/replica/restore.h"

namespace backstay {

class LogWriter {
 public:
  static constexpr uint64_t kMaxBatchBytes = 4 << 20;  // of segments in one log object
  explicit LogWriter(Core* core) : core_(core), look_(core), fence_(core) {}

  // Identity; a takeover that an earlier process began. Once per process, before the first
  // Append().
  Status Connect();
  // The oldest waiting segments, at most ~kMaxBatchBytes, as one log object. Ok when they are
  // acknowledged (or the log was taken over, or another object of it was stepped over: call again).
  Status Append();
  // Whether what the log rests on is still in the bucket (log_look.cc). What is missing is told,
  // and written anew unless another writer is there: the identity under its old id, the rest by a
  // new first snapshot. Tells at the same time whether the replica answers.
  Status Look();
  // The same where the identity is gone; while it is there, one small request.
  Status Glance();
  // The same, in turn of the identity and of the newest snapshot's manifest, with which a restore
  // begins; and once an hour a whole look.
  Status Prove();
  bool LookDue() { return look_.Due() || fence_.LookDue() || look_.Vanished(); }
  // Due though nothing is to be shipped: once behind the last upload.
  bool LastLookDue() const { return fence_.LookDue(); }
  // Before a snapshot or a pack: they are made for what is there.
  bool LookStale() const { return look_.Stale(); }

  // The line of the log that tells why a replica is gone on with.
  struct Said {
    Level level;
    std::string message;
  };

 private:
  struct Batch {
    uint64_t number = 0;
    uint64_t epoch = 0;
    bool owned = false;  // the log is ours; else it has to be taken over first
    std::string body;
    std::vector<LogHead> heads;  // of its segments
    std::shared_ptr<Fd> wal;
    uint64_t generation = 0;  // when it was made
  };

  Status OwnLog();
  Status FindManifest();
  Status FindReplica();
  uint32_t PageSize();
  Status CheckIdentity(const Identity& found);
  // kExists: it was created meanwhile.
  Status CreateReplica();
  Status TakeOver();
  Status AnnounceTakeover();
  // One try at the next number; *done when the log is ours.
  Status TryTakeOver(bool* done);
  struct TakeoverAt {
    uint64_t number = 0;
    uint64_t epoch = 0;
    Takeover record;
  };
  Status PutTakeover(TakeoverAt* takeover);
  // The record of this takeover, whose answer was lost; nullopt: something else is there.
  Result<std::optional<Takeover>> OwnTakeover(uint64_t number);
  // The log has to state another page size before anything else is written there.
  bool NewBaseDue();
  void BeginBaseLocked(const TakeoverAt& takeover);
  bool IsOwn(const Takeover& record) const {
    return writer_id_ != 0 && record.writer_id == writer_id_;
  }
  // A PUT of ours that seemed to fail.
  bool IsDoubtful(const LogObject& object) const;
  Result<Batch> NextBatch();
  Status Settle(const Batch& batch);
  bool MayBeCopied() const;
  // `object`: what lies in the log.
  bool Acknowledge(const Batch& batch, size_t segments, const std::string& object);

  // On a store that does not refuse: what lies where the next object should go.
  Status LookAhead();
  // The log ends here, as far as its single objects tell.
  Status HoldOrTakeOver();

  // What is missing (log_look.cc).
  bool Known();
  Status MakeGood(bool identity);
  Status ProvePlace();
  void NoteItsPlace();
  Status RewriteIdentity();
  Status BeginAnew(const MissingObjects& missing);
  void ForgetSnapshotsLocked(uint64_t above);

  // Behind objects of the log that this state does not know (log_follow.cc).
  // Whether a pack covers the next number: its key is free, and what is put there would be void.
  Result<bool> NextIsPacked();
  // False: what was just put is void, because this state is older than the packs; its end is known
  // now, and the log must be taken over there.
  // `doubtful`: an earlier PUT of it may have arrived.
  Result<bool> CountsInLog(bool doubtful);
  Status StepOver(const LogObject& object, uint64_t number);
  Status FollowUnmet();
  // From the next number to the end of the log, through packs if need be.
  Status FollowLog();
  Status FollowSingles();
  Status FollowPacks();
  Status FollowPacksOf(const ReplicaReader& reader, const Catalogue& catalogue);
  Status FollowOne(const LogObject& object, uint64_t number);
  // `save`: write the state back at once.
  Status Follow(const LogObject& object, uint64_t number, bool save);
  static void FollowStep(const SegmentStep& step, PageIndex* index);
  static bool IsReadable(const LogObject& object, uint32_t pages);
  void SayForeign();

  // Without a usable state folder (log_adopt.cc).
  // Takes the state from the replica `found` when it is this database's own; else kForeign, or
  // kFenced when another writer has gone on with it.
  Status Adopt(const Identity& found);
  // `by_pages`: only equal pages have proven it.
  Said OwnAgain(const DatabaseId& id, bool by_pages);
  Status AdoptBeginning(const Identity& found, const Said& said);
  // What is taken from the replica: where the log goes on, for a database of this page size, and
  // what its pages are there.
  struct Adopted {
    ShipState ship;
    uint32_t page_size = 0;
    std::vector<uint64_t> hashes;
  };
  // kUnavailable: the page size is another one by now.
  Status AdoptState(const Identity& found, const Adopted& state, const Said& said);
  // `failed`: why the replica cannot be read back; returned unless it is damaged, and adopted.
  Status AdoptBehindDamage(const Identity& found, const Status& failed);
  // Another database's, whose first snapshot was never finished.
  Status TakeUnfinished(const Identity& found);
  bool HasPages(uint32_t pages);
  bool HoldsPages(const std::vector<uint64_t>& hashes);

  // Of the same database as the replica that this one was restored from (log_sibling.cc).
  static Said OfSibling();
  bool IsSibling(const Identity& found);
  bool MayBeOurs(const Identity& found);
  // kFenced: the replica's writer is of a newer life of the database.
  Status CheckLives(const ReplicaReader& reader, const RestorePlan& plan);
  Result<uint64_t> Ahead(const ReplicaReader& reader, const RestoreOutcome& outcome);
  Result<Said> SayOfSibling(const ReplicaReader& reader, const RestoreOutcome& outcome);

  // What the database file says of itself (log_mark.cc).
  Status Foreign(const DatabaseId& id) const;
  Status NotOurs(const DatabaseId& id);
  Status Overtaken() const;
  // kForeign: it is a copy of the file whose replica `found` is.
  Status CheckOriginal(const Identity& found);
  void WriteOnFileLocked(const std::function<Status()>& write);
  // Says on the database file that it is the source of this replica, in this epoch.
  void Mark();
  void ClaimOrigin();
  Status ClaimLocked(const Family& wanted);
  uint64_t MarkedEpoch(const DatabaseId& id) const;
  uint64_t StateEpoch(const DatabaseId& id) const;

  Core* const core_;
  ReplicaLook look_;
  Fence fence_;
  uint64_t writer_id_ = 0;  // of the takeover that is under way; 0: none
  bool acknowledged_ =
      false;  // a PUT of this process succeeded: the log cannot hold unknown segments of ours
  std::vector<uint64_t>
      doubtful_;          // last segment hashes of PUTs that may have arrived unacknowledged
  bool created_ = false;  // by this process: nothing else can be in it
  // Transactions of the log that this database does not have, not yet told of; 0: none.
  uint64_t foreign_first_ = 0;
  uint64_t foreign_last_ = 0;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_LOG_WRITER_H_
