// backstay restore: a database from its replica, whole or not at all.

#include "uploader/replica/restore.h"

#include <cinttypes>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/integrity.h"
#include "tools/interrupt.h"
#include "tools/replica_choice.h"
#include "tools/source.h"
#include "tools/target_file.h"
#include "uploader/base/clock.h"
#include "uploader/replica/absence.h"
#include "uploader/state/replica_place.h"
#include "uploader/state/restored.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

using Json = nlohmann::ordered_json;

struct Options {
  std::string from;  // DB or URL
  std::string output;
  SourceOptions source;
  std::string timestamp;
  std::optional<uint64_t> txid;
  bool if_db_not_exists = false;
  bool if_replica_exists = false;
  bool force = false;
  bool dry_run = false;
  bool json = false;
  std::string mode;
  std::string integrity = "none";
  size_t parallelism = 8;
};

void Bind(Arguments* app, Options* options) {
  app->Text("-o,--o", &options->output, "restore to this file");
  options->source.Bind(app);
  app->Flag("--if-db-not-exists", &options->if_db_not_exists,
            "do nothing, successfully, when the database exists");
  app->Flag("--if-replica-exists", &options->if_replica_exists,
            "do nothing, successfully, when there is no replica");
  app->Text("--timestamp", &options->timestamp,
            "the state at this time, like 2026-11-22T20:59:01Z");
  app->Transaction("--txid", &options->txid, "the state after this transaction");
  app->Flag("--force", &options->force, "replace an existing database, unless it is open");
  app->Text("--mode", &options->mode,
            "permissions of the file, like 660 (default: as the umask and a set-group-id folder "
            "say)");
  app->Flag("--dry-run", &options->dry_run, "say what would be done");
  app->Flag("--json", &options->json, "the result as JSON on stdout");
  app->Choice("--integrity-check", &options->integrity, {"none", "quick", "full"},
              "none, quick or full (default none)");
  app->Number("--parallelism", &options->parallelism, 1, 64, "requests at a time (default 8)");
  app->Operand("from", &options->from, true, "DB|URL", "database path, or replica URL");
}

Result<mode_t> ParseMode(const std::string& text) {
  const bool octal = text.size() <= 4 && text.find_first_not_of("01234567") == std::string::npos;
  const mode_t mode = octal ? static_cast<mode_t>(std::stoul(text, nullptr, 8)) : 0;
  if ((mode & 0600) == 0600 && (mode & ~mode_t{0666}) == 0) return mode;
  return Status(Code::kInvalid,
                "-mode " + text + ": write it in octal, with at least 600 and at most 666");
}

IntegrityCheck CheckNamed(const std::string& name) {
  if (name == "full") return IntegrityCheck::kFull;
  return name == "quick" ? IntegrityCheck::kQuick : IntegrityCheck::kNone;
}

class RestoreCommand {
 public:
  explicit RestoreCommand(Options options) : options_(std::move(options)) {}
  int Run();

 private:
  Status ReadTarget();
  Status Look(bool compared, Candidate* candidate);
  Status FromReplica(ReplicaClient* client);
  Status Fetch(const ReplicaReader& reader, const std::string& place,
               const RestoreOptions& restore);
  Status Check(const ReplicaReader& reader);
  void WriteState(const ReplicaReader& reader, const std::string& place,
                  const RestoreOutcome& outcome);
  void PrintDone(const ReplicaReader& reader, const RestorePlan& plan);
  int NothingToDo(const std::string& why) const;
  int Fail(const Status& status) const;
  std::vector<Candidate> LookAt(const Source& source);
  void Choose(std::vector<Candidate>* candidates) const;
  void NoteFailure(const Status& failed, bool more);
  int TryReplicas(const Source& source);
  RestoreOptions MakeOptions() const;
  TargetFile::Options TargetOptions() const { return {options_.force, mode_}; }

  const Options options_;
  RestoreTarget target_;
  std::string output_;
  std::optional<mode_t> mode_;
  Interrupt interrupt_;
  RetryOptions retry_;
  size_t number_ = 0;     // of the replica that is being restored, from 0
  bool missing_ = false;  // the last replica that was tried does not exist
  bool all_missing_ = true;
  Status failed_;       // the one to report: the first that is more than "not there"
  bool local_ = false;  // the last error is not the replica's: no other one helps
};

Status RestoreCommand::ReadTarget() {
  const bool timed = !options_.timestamp.empty();
  if (timed && options_.txid) return {Code::kInvalid, "give -timestamp or -txid, not both"};
  if (options_.txid) target_ = {RestoreTarget::Kind::kTxid, *options_.txid, 0};
  if (timed) {
    Result<int64_t> time_ms = ParseRfc3339(options_.timestamp);
    if (!time_ms.ok()) return time_ms.status();
    target_ = {RestoreTarget::Kind::kTime, 0, *time_ms};
  }
  if (!options_.mode.empty()) {
    Result<mode_t> mode = ParseMode(options_.mode);
    if (!mode.ok()) return mode.status();
    mode_ = *mode;
  }
  if (IsUrl(options_.from) && options_.output.empty()) {
    return {Code::kInvalid, "with a replica URL, -o must say where to restore to"};
  }
  output_ = DatabasePath(options_.output.empty() ? options_.from : options_.output);
  return Status::Ok();
}

int RestoreCommand::NothingToDo(const std::string& why) const {
  if (options_.json) {
    printf("%s\n", Json{{"restored", false}, {"reason", why}, {"output", output_}}.dump().c_str());
  } else {
    fprintf(stderr, "backstay: nothing restored: %s\n", why.c_str());
  }
  return kExitDone;
}

RestoreOptions RestoreCommand::MakeOptions() const {
  RestoreOptions restore;
  restore.target = target_;
  restore.plan.log.parallelism = options_.parallelism;
  restore.replay.parallelism = options_.parallelism;
  restore.planned = [](const RestorePlan& plan) {
    for (const std::string& warning : plan.warnings) PrintError("warning: " + warning);
    return Status::Ok();
  };
  return restore;
}

void RestoreCommand::PrintDone(const ReplicaReader& reader, const RestorePlan& plan) {
  const uint64_t download = plan.SnapshotBytes() + plan.LogBytes();
  if (options_.json) {
    Json json{{"restored", !options_.dry_run},
              {"dry-run", options_.dry_run},
              {"output", output_},
              {"replica", reader.Describe()},
              {"txid", plan.txid},
              {"time", FormatRfc3339(plan.time_ms)},
              {"latest", plan.at_end},
              {"page-size", plan.snapshot.page_size},
              {"snapshot", plan.snapshot.next_log_number},
              {"snapshot-txid", plan.snapshot.consistent_txid},
              {"snapshot-objects", plan.snapshot.frame_bytes.size()},
              {"snapshot-bytes", plan.SnapshotBytes()},
              {"log-objects", plan.entries.size()},
              {"log-bytes", plan.LogBytes()},
              {"warnings", plan.warnings}};
    printf("%s\n", json.dump().c_str());
    return;
  }
  printf("%s %s from %s: transaction %" PRIu64
         " of %s (snapshot %s in %zu objects, log %s in %zu, "
         "%s in all)\n",
         options_.dry_run ? "would restore" : "restored", output_.c_str(),
         reader.Describe().c_str(), plan.txid, FormatRfc3339(plan.time_ms).c_str(),
         FormatBytes(plan.SnapshotBytes()).c_str(), plan.snapshot.frame_bytes.size(),
         FormatBytes(plan.LogBytes()).c_str(), plan.entries.size(), FormatBytes(download).c_str());
}

void RestoreCommand::WriteState(const ReplicaReader& reader, const std::string& place,
                                const RestoreOutcome& outcome) {
  RestoredState state;
  state.identity = outcome.plan.identity;
  state.identity.page_size = outcome.result.page_size;
  state.replica = reader.Describe();
  state.number = number_;
  state.epoch = outcome.plan.epoch;
  state.void_below = outcome.plan.void_below;
  state.next_log_number = outcome.plan.next_log_number;
  state.segment_number = outcome.result.segment_number;
  state.segment_hash = outcome.result.segment_hash;
  state.txid = outcome.plan.txid;
  state.time_ms = outcome.plan.time_ms;
  state.restored_ms = RealClock()->WallMs();
  state.page_hashes = outcome.result.page_hashes;
  state.at_end = outcome.plan.at_end;
  state.base = outcome.plan.snapshot.base;
  if (const auto& left = outcome.plan.left) {
    state.new_base = true;
    state.segment_number = left->segment_number;
    state.segment_hash = left->segment_hash;
    state.txid = left->txid;
  }
  Status written = WriteRestoredState(output_, state);
  if (written.ok() && state.at_end)
    written = NotePlace(StateFolderOf(output_, state.replica, number_), state.replica, place);
  if (!written.ok()) {
    PrintError("warning: " + written.message() +
               "; the database is restored, but the next start will compare it with the replica "
               "page by page");
  }
}

// Everything that a replica must be asked for comes before anything local is changed.
Status RestoreCommand::Fetch(const ReplicaReader& reader, const std::string& place,
                             const RestoreOptions& restore) {
  local_ = true;
  Result<std::unique_ptr<TargetFile>> file = TargetFile::Create(output_, TargetOptions());
  if (!file.ok()) return file.status();
  FilePageStore store((*file)->fd(), (*file)->temporary());
  Result<RestoreOutcome> outcome = RestoreInto(reader, restore, &store);
  local_ = outcome.status().code() == Code::kIo || outcome.status().code() == Code::kCancelled;
  if (!outcome.ok()) return outcome.status();
  BACKSTAY_TRY(CheckIntegrity((*file)->temporary(), CheckNamed(options_.integrity)));
  local_ = true;
  BACKSTAY_TRY((*file)->Install());
  WriteState(reader, place, *outcome);
  PrintDone(reader, outcome->plan);
  return Status::Ok();
}

// Tells a replica that does not exist from one that cannot be read, and both from one without a
// fitting restore point.
Status RestoreCommand::Check(const ReplicaReader& reader) {
  Result<Catalogue> catalogue =
      LookAtReplica(reader, options_.parallelism,
                    [](Catalogue&& seen) -> Result<Catalogue> { return std::move(seen); });
  missing_ = catalogue.status().code() == Code::kNotFound;
  if (!catalogue.ok()) return catalogue.status();
  if (!catalogue->NothingToRestoreYet()) return Status::Ok();
  Result<bool> unfinished = FirstSnapshotUnfinished(reader, *catalogue);
  if (!unfinished.ok()) return unfinished.status();
  missing_ = *unfinished;
  if (missing_) {
    return {Code::kNotFound,
            reader.Describe() + ": nothing to restore yet: its first snapshot was never finished"};
  }
  return {Code::kCorrupt, reader.Describe() +
                              ": the log is there, but no snapshot to start from; undelete the "
                              "objects under snapshot/ (bucket versions), or use another replica"};
}

// What the replica would give. `compared`: there are others to compare it with.
Status RestoreCommand::Look(bool compared, Candidate* candidate) {
  interrupt_.Watch(candidate->client);
  const ReplicaReader reader(candidate->client, retry_);
  missing_ = false;
  BACKSTAY_TRY(Check(reader));
  if (!compared) return Status::Ok();
  const RestoreOptions restore = MakeOptions();
  Result<RestorePlan> plan = PlanFromReplica(reader, restore.target, restore.plan);
  if (!plan.ok()) return plan.status();
  candidate->txid = plan->txid;
  candidate->time_ms = plan->time_ms;
  return Status::Ok();
}

Status RestoreCommand::FromReplica(ReplicaClient* client) {
  interrupt_.Watch(client);
  ReplicaReader reader(client, retry_);
  missing_ = false;
  local_ = false;
  RestoreOptions restore = MakeOptions();
  if (!options_.dry_run) return Fetch(reader, client->PlaceMark(), restore);
  Result<RestorePlan> plan = PlanFromReplica(reader, restore.target, restore.plan);
  if (!plan.ok()) return plan.status();
  BACKSTAY_TRY(restore.planned(*plan));
  PrintDone(reader, *plan);
  return Status::Ok();
}

int RestoreCommand::Fail(const Status& status) const {
  PrintError("restore: " + status.message());
  // What concerns the target is no finding about the replica.
  return local_ ? kExitFailed : ExitCodeOf(status);
}

void RestoreCommand::NoteFailure(const Status& failed, bool more) {
  const bool first = failed_.ok() || (failed_.code() == Code::kNotFound && !missing_);
  if (first) failed_ = failed;
  all_missing_ = all_missing_ && missing_;
  if (more) PrintError("warning: " + failed.message() + "; trying the next replica");
}

std::vector<Candidate> RestoreCommand::LookAt(const Source& source) {
  const size_t count = source.replicas.size();
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < count; ++i) {
    Candidate candidate{source.replicas[i].get(), i};
    Status looked = Look(count > 1, &candidate);
    if (looked.ok()) {
      candidates.push_back(candidate);
    } else {
      NoteFailure(looked, i + 1 < count || !candidates.empty());
    }
  }
  return candidates;
}

// A transaction number is one replica's own: then their order decides.
void RestoreCommand::Choose(std::vector<Candidate>* candidates) const {
  if (candidates->size() < 2) return;
  if (target_.kind != RestoreTarget::Kind::kTxid) NewestFirst(candidates);
  PrintError("from " + candidates->front().client->Describe());
  for (size_t i = 1; i < candidates->size(); ++i) {
    PrintError(Compare(candidates->front(), (*candidates)[i]));
  }
}

int RestoreCommand::TryReplicas(const Source& source) {
  std::vector<Candidate> candidates = LookAt(source);
  if (candidates.empty() && all_missing_ && options_.if_replica_exists) {
    for (const auto& replica : source.replicas) {
      Status there = replica->ProvePlace();
      if (!there.ok()) return Fail(there);
    }
    return NothingToDo(failed_.message());
  }
  Choose(&candidates);
  for (size_t i = 0; i < candidates.size(); ++i) {
    number_ = candidates[i].number;
    Status done = FromReplica(candidates[i].client);
    if (done.ok()) return kExitDone;
    if (local_) return Fail(done);
    NoteFailure(done, i + 1 < candidates.size());
  }
  return Fail(failed_);
}

int RestoreCommand::Run() {
  Status read = ReadTarget();
  if (!read.ok()) {
    PrintError("restore: " + read.message());
    return kExitUsage;
  }
  local_ = true;
  Result<bool> exists = DatabaseExists(output_);
  if (!exists.ok()) return Fail(exists.status());
  if (*exists && options_.if_db_not_exists) return NothingToDo(output_ + " exists");
  if (!options_.dry_run) {
    // What would stop it in the end stops it before the first request.
    Result<std::unique_ptr<TargetFile>> file = TargetFile::Create(output_, TargetOptions());
    if (!file.ok()) return Fail(file.status());
  }
  local_ = false;
  Result<Source> source = OpenSource(options_.from, options_.source, NameOf(output_));
  if (!source.ok()) return Fail(source.status());
  retry_ = source->retry;
  return TryReplicas(*source);
}

}  // namespace

int RunRestore(const std::vector<std::string>& arguments) {
  Options options;
  Arguments app("restore", "Rebuilds a database from its replica.");
  Bind(&app, &options);
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  return RestoreCommand(options).Run();
}

}  // namespace backstay
