#include "tools/verification.h"

#include <fcntl.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <utility>

#include "tools/command.h"
#include "tools/live_comparison.h"
#include "tools/restorable.h"
#include "tools/scratch_folder.h"
#include "tools/way_out.h"
#include "uploader/base/clock.h"

namespace backstay {
namespace {

using Json = nlohmann::ordered_json;

// "250 ms", "12.5 s", "3.2 days"
std::string FormatMs(int64_t ms) {
  const auto value = static_cast<double>(ms);
  std::string text(32, '\0');
  int n = 0;
  if (ms < 1000) {
    n = snprintf(text.data(), text.size(), "%" PRId64 " ms", ms);
  } else if (ms < 600 * 1000) {
    n = snprintf(text.data(), text.size(), "%.1f s", value / 1000);
  } else if (ms < 48 * 3600 * 1000) {
    n = snprintf(text.data(), text.size(), "%.1f hours", value / 3600000);
  } else {
    n = snprintf(text.data(), text.size(), "%.1f days", value / 86400000);
  }
  text.resize(static_cast<size_t>(n));
  return text;
}

std::string PathIn(const ScratchFolder& scratch) { return scratch.path() + "/database"; }

}  // namespace

void Verification::Wrong(int exit_code, const std::string& problem) {
  exit_code_ = WorseOf(exit_code_, exit_code);
  const bool named = problem.find(reader_.Describe()) != std::string::npos;
  problems_.push_back({exit_code, named ? problem : reader_.Describe() + ": " + problem});
}

void Verification::Wrong(const Status& status) {
  if (status.code() == Code::kCorrupt) return Damaged(status.message());
  Wrong(ExitCodeOf(status), status.message());
}

// The remedy once, behind what is wrong.
void Verification::Damaged(const std::string& problem) {
  Wrong(kExitDamaged, problem);
  if (remedy_.empty()) remedy_ = DamageRemedy(reader_);
}

uint64_t Verification::DatabaseBytes() const {
  return uint64_t{restored_->result.pages} * restored_->result.page_size;
}

// While pages are being compared the log carries no checksum of the whole database; the hashes of
// the pages, and the chain of the log, are proven all the same.
bool Verification::ChecksumProven() const {
  return restored_->result.checksum_proven || restored_->plan.last_segment == 0;
}

void Verification::Run() {
  Prove();
  if (!remedy_.empty()) problems_.push_back({kExitDamaged, remedy_});
}

void Verification::Prove() {
  Status there = LoadRestorable(reader_, options_.parallelism).status();
  if (!there.ok()) return Wrong(there);
  Result<std::unique_ptr<ScratchFolder>> scratch = ScratchFolder::Create(options_.scratch);
  if (!scratch.ok()) return Wrong(scratch.status());
  const int64_t began = RealClock()->MonotonicMs();
  const int64_t now = RealClock()->WallMs();
  Result<RestoreOutcome> restored = Restore(**scratch, {});
  if (!restored.ok()) return Wrong(restored.status());
  restore_ms_ = RealClock()->MonotonicMs() - began;
  age_ms_ = std::max<int64_t>(0, now - restored->plan.time_ms);
  restored_ = std::move(*restored);
  restored_->result.page_hashes = {};
  for (const std::string& damage : restored_->plan.damages) Damaged(damage);
  for (const std::string& warning : restored_->plan.warnings) Wrong(kExitDone, warning);
  CheckDatabase(PathIn(**scratch));
  // Behind the checks: it may restore another state in the place of the newest.
  if (!options_.live.empty()) Compare(**scratch);
  CheckAge();
}

Result<RestoreOutcome> Verification::Restore(const ScratchFolder& scratch,
                                             const RestoreTarget& target) {
  const std::string path = PathIn(scratch);
  Result<Fd> file = OpenFile(path, O_RDWR | O_CREAT);
  if (!file.ok()) return file.status();
  FilePageStore store(*file, path);
  RestoreOptions restore;
  restore.target = target;
  restore.plan.log.parallelism = options_.parallelism;
  restore.replay.parallelism = options_.parallelism;
  restore.planned = [&](const RestorePlan& plan) {
    const uint64_t copies = options_.live.empty() ? 1 : 2;
    const uint64_t pages = std::max(plan.snapshot.pages, PagesOf(reader_, plan));
    return scratch.CheckRoom(copies * pages * plan.snapshot.page_size);
  };
  return RestoreInto(reader_, restore, &store);
}

void Verification::Compare(const ScratchFolder& scratch) {
  LiveComparison comparison(reader_, options_.live, scratch, options_.live_wait_ms, options_.stop,
                            [&](const RestoreTarget& target) { return Restore(scratch, target); });
  uint64_t txid = 0;
  Status compared = comparison.Run(PathIn(scratch), *restored_, &txid);
  if (!compared.ok()) return Wrong(compared);
  compared_ = txid;
}

void Verification::CheckAge() {
  // What is equal to the live database is not old, however long that has been idle.
  if (options_.max_age_ms == 0 || age_ms_ <= options_.max_age_ms || compared_) return;
  Wrong(kExitFailed, "its newest transaction, " + std::to_string(restored_->plan.txid) + " of " +
                         FormatRfc3339(restored_->plan.time_ms) + ", is " + FormatMs(age_ms_) +
                         " old, more than -max-age (" + FormatMs(options_.max_age_ms) +
                         "); see with `backstay status` whether its application replicates, or "
                         "allow for how long it may be idle");
}

void Verification::CheckDatabase(const std::string& path) {
  Status integrity = CheckIntegrity(path, options_.integrity, options_.stop);
  integrity_ = options_.integrity == IntegrityCheck::kNone ? "none"
               : integrity.ok()                            ? "ok"
                                                           : "failed";
  if (!integrity.ok()) {
    Wrong(ExitCodeOf(integrity),
          integrity.message() +
              (integrity.code() == Code::kCancelled
                   ? ""
                   : "; the restored database is the one that was replicated, as "
                     "its checksum proves (-integrity-check none leaves this out)"));
  }
  if (!options_.foreign_keys || !integrity.ok()) return;
  Result<ForeignKeys> keys = CheckForeignKeys(path, options_.stop);
  if (!keys.ok()) return Wrong(keys.status());
  violations_ = keys->violations;
  if (keys->violations == 0) return;
  Wrong(kExitFailed, std::to_string(keys->violations) +
                         " foreign keys are violated, in the application's database as well "
                         "(-no-foreign-key-check leaves this out)");
  for (const std::string& each : keys->first) Wrong(kExitFailed, each);
  if (keys->violations > keys->first.size()) {
    Wrong(kExitFailed, "… and " + std::to_string(keys->violations - keys->first.size()) + " more");
  }
}

std::string Verification::Summary() const {
  if (!restored_) return reader_.Describe() + ": NOT VERIFIED";
  const RestorePlan& plan = restored_->plan;
  std::string text = reader_.Describe() + ": transaction " + std::to_string(plan.txid) + " of " +
                     FormatRfc3339(plan.time_ms) + " (" + FormatMs(age_ms_) + " old) restored in " +
                     FormatMs(restore_ms_) + ", " + FormatBytes(DatabaseBytes()) + " from " +
                     FormatBytes(plan.SnapshotBytes() + plan.LogBytes()) + " in " +
                     std::to_string(plan.snapshot.frame_bytes.size() + plan.entries.size()) +
                     " objects; checksum " +
                     (ChecksumProven() ? "proven" : "of each page proven, none of the whole") +
                     ", integrity check " + integrity_;
  if (violations_) text += ", " + std::to_string(*violations_) + " violated foreign keys";
  if (compared_) {
    text += ", equal to " + options_.live + " at transaction " + std::to_string(*compared_);
  }
  return text + (exit_code_ == kExitDone ? "" : ": NOT VERIFIED");
}

Json Verification::ToJson() const {
  Json json{
      {"replica", reader_.Describe()}, {"verified", exit_code_ == kExitDone}, {"exit", exit_code_}};
  if (restored_) {
    const RestorePlan& plan = restored_->plan;
    json["txid"] = plan.txid;
    json["time"] = FormatRfc3339(plan.time_ms);
    json["time_ms"] = plan.time_ms;
    json["age_ms"] = age_ms_;
    json["page_size"] = restored_->result.page_size;
    json["pages"] = restored_->result.pages;
    json["database_bytes"] = DatabaseBytes();
    json["snapshot_objects"] = plan.snapshot.frame_bytes.size();
    json["snapshot_bytes"] = plan.SnapshotBytes();
    json["log_objects"] = plan.entries.size();
    json["log_bytes"] = plan.LogBytes();
    json["restore_ms"] = restore_ms_;
    json["checksum_proven"] = ChecksumProven();
    json["integrity_check"] = integrity_;
    json["foreign_key_violations"] = violations_ ? Json(*violations_) : Json();
  }
  Json problems = Json::array();
  for (const VerifyProblem& each : problems_) problems.push_back(each.text);
  json["problems"] = problems;
  if (compared_) json["equal_at_txid"] = *compared_;
  return json;
}

}  // namespace backstay
