// LogWriter, the part that knows the other replicas of its database: those of its family, beside
// the one that the database was restored from.
//
// Which of two lives of a database is the later one, their beginnings tell: a replica whose writer
// began after this life did belongs to a newer one. (The epochs of two replicas are not
// comparable.)

#include <algorithm>
#include <numeric>

#include "uploader/engine/log_writer.h"
#include "uploader/replica/restore.h"
#include "uploader/state/database_origin.h"

namespace backstay {
namespace {

// When the writer began whose objects the plan ends with, as far as the plan tells: later than it
// did at the most.
Result<int64_t> WriterSince(const ReplicaReader& reader, const RestorePlan& plan) {
  for (auto entry = plan.entries.rbegin(); entry != plan.entries.rend(); ++entry) {
    if (!IsTakeover(entry->header.kind)) continue;
    auto body = FetchEntry(reader, *entry);
    if (!body.ok()) return body.status();
    Result<LogObject> object = ParseLogObject(AsBytes(**body), entry->header.number);
    if (!object.ok()) return object.status();
    return object->takeover.time_ms;
  }
  return plan.snapshot.consistent_time_ms;
}

}  // namespace

LogWriter::Said LogWriter::OfSibling() {
  return {Level::kInfo,
          "this database was restored from another replica of its own: the difference to this one "
          "is shipped"};
}

bool LogWriter::IsSibling(const Identity& found) {
  std::lock_guard<std::mutex> lock(core_->mutex);
  return core_->family.known() && core_->family.id == found.family;
}

// What equal pages may prove then: the file came here with the state folder of the replica's
// source, or it is the source of another replica and this one was made before there were families.
bool LogWriter::MayBeOurs(const Identity& found) {
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    if (core_->left.id == found.id) return true;
  }
  return found.family == DatabaseId{} && HasMark(core_->options.settings.path);
}

Status LogWriter::CheckLives(const ReplicaReader& reader, const RestorePlan& plan) {
  Result<int64_t> since = WriterSince(reader, plan);
  if (!since.ok()) return since.status();
  std::lock_guard<std::mutex> lock(core_->mutex);
  return *since <= core_->family.since_ms ? Status::Ok() : Overtaken();
}

// How many transactions of the replica are later than what this database was restored from.
Result<uint64_t> LogWriter::Ahead(const ReplicaReader& reader, const RestoreOutcome& outcome) {
  Family family;
  {
    std::lock_guard<std::mutex> lock(core_->mutex);
    family = core_->family;
  }
  const std::vector<uint64_t>& hashes = outcome.result.page_hashes;
  const uint64_t checksum = std::accumulate(hashes.begin(), hashes.end(), uint64_t{0});
  if (checksum == family.checksum || outcome.plan.time_ms <= family.state_ms) return uint64_t{0};
  Result<RestorePlan> same =
      PlanFromReplica(reader, {RestoreTarget::Kind::kTime, 0, family.state_ms}, {});
  if (same.ok()) return outcome.plan.txid - std::min(outcome.plan.txid, same->txid);
  if (same.status().code() != Code::kNotFound) return same.status();
  // It holds nothing as old. Two replicas of one state have first snapshots of different times.
  const SnapshotManifest& first = outcome.plan.snapshot;
  const uint64_t later = outcome.plan.txid - first.consistent_txid;
  return first.frames_checksum == family.checksum ? later : later + 1;
}

Result<LogWriter::Said> LogWriter::SayOfSibling(const ReplicaReader& reader,
                                                const RestoreOutcome& outcome) {
  Result<uint64_t> ahead = Ahead(reader, outcome);
  if (!ahead.ok()) return ahead.status();
  if (*ahead == 0) return OfSibling();
  const std::string last = std::to_string(outcome.plan.txid);
  return Said{Level::kWarn,
              "the replica is ahead of what this database was restored from: it holds " +
                  std::to_string(*ahead) + (*ahead == 1 ? " transaction" : " transactions") +
                  " more, up to " + last +
                  ", which the database does not have; they stay restorable with -txid " + last +
                  ", and the replica goes on from this database"};
}

}  // namespace backstay
