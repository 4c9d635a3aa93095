// backstay restore: a database from its replica, whole or not at all.

#include "uploader/replica/restore.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/follow_file.h"
#include "tools/follower.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/replica_choice.h"
#include "tools/restorable.h"
#include "tools/restore_file.h"
#include "tools/restore_report.h"
#include "tools/restore_request.h"
#include "tools/source.h"
#include "tools/ticker.h"
#include "tools/way_out.h"
#include "uploader/base/clock.h"

namespace backstay {
namespace {

Progress::Options ProgressOptions(const std::string& database) {
  Progress::Options options;
  options.database = database;
  options.terminal = isatty(STDERR_FILENO) == 1;
  options.write = [](const std::string& text) { fputs(text.c_str(), stderr); };
  return options;
}

// -f is to follow into what is there.
Status NotACopy(const std::string& output, const Status& state) {
  const bool none = state.code() == Code::kNotFound;
  return {Code::kExists, output + ": exists, and is no copy that -f has made" +
                             (none ? "" : " (" + state.message() + ")") +
                             "; -force replaces it by one, -o names another file"};
}

// Of the requests that may be under way, those for frames while the replica is still being read.
size_t AheadOf(const RestoreRequest& request) { return request.flags.parallelism / 4; }

class RestoreCommand {
 public:
  explicit RestoreCommand(RestoreRequest request)
      : request_(std::move(request)),
        follow_file_(request_.output),
        progress_(ProgressOptions(request_.output)) {}
  // What is still being fetched ahead is not waited for.
  ~RestoreCommand() {
    if (ahead_) source_.replicas.front()->Cancel();
  }
  int Run();

 private:
  Status Look(Candidate* candidate);
  Status FromReplica(Candidate* candidate);
  Status Follow(ReplicaClient* client);
  Result<FollowState> OpenCopy();
  int GoOnFollowing(const FollowState& state);
  int NothingToDo(const std::string& why);
  int Fail(const Status& status);
  std::vector<Candidate> LookAll();
  void Choose(std::vector<Candidate>* candidates) const;
  void NoteFailure(ReplicaClient* client, const Status& failed, bool more);
  int TryReplicas();
  RestoreOptions MakeOptions(ReplicaClient* client);
  void MayFetchAhead(bool holds_pages);
  void BeginProgress(const char* phase, ReplicaClient* client, uint64_t total);

  const RestoreRequest request_;
  FollowFile follow_file_;
  // Before all that asks its replicas, and so outlives it.
  Source source_;
  // Of the one replica that there is, where its snapshot will be needed from its first frame on.
  std::optional<FramesAhead> ahead_;
  Interrupt interrupt_;
  Progress progress_;
  size_t number_ = 0;     // of the replica that is being restored, from 0
  bool missing_ = false;  // the last replica that was tried does not exist
  bool all_missing_ = true;
  // The one to report: that of a damaged replica, else the first that is more than "not there".
  Status failed_;
  struct FailedAt {
    ReplicaClient* replica = nullptr;
    std::vector<uint64_t> avoid;  // snapshots
  };
  FailedAt failed_at_;           // where that was
  std::vector<uint64_t> avoid_;  // damaged ones, of the replica that is being restored
  bool local_ = false;           // the last error is not the replica's: no other one helps
};

int RestoreCommand::NothingToDo(const std::string& why) {
  progress_.End();
  ReportNothing(request_, why);
  return kExitDone;
}

void RestoreCommand::BeginProgress(const char* phase, ReplicaClient* client, uint64_t total) {
  progress_.Begin(
      phase, client->Describe(), [client] { return client->Counters().bytes_received; }, total);
}

// Of several replicas, what they hold decides which one is read; pages that are there already are
// not fetched.
void RestoreCommand::MayFetchAhead(bool holds_pages) {
  const bool may = source_.replicas.size() == 1 && !request_.flags.dry_run && !holds_pages;
  if (!may || AheadOf(request_) == 0) return;
  ahead_.emplace(source_.replicas.front().get(), FramesAhead::Limits{AheadOf(request_)});
}

RestoreOptions RestoreCommand::MakeOptions(ReplicaClient* client) {
  RestoreOptions restore = request_.Options();
  restore.planned = [this, client](const RestorePlan& plan) {
    for (const std::string& warning : plan.Told()) PrintWarning(warning);
    BeginProgress("restoring", client, plan.BytesToFetch());
    return Status::Ok();
  };
  restore.avoided = [this](uint64_t snapshot) { avoid_.push_back(snapshot); };
  if (ahead_) restore.replay.ahead = &*ahead_;
  // Together they are no more than may be under way.
  if (ahead_) restore.plan.log.parallelism -= AheadOf(request_);
  restore.replay.found = [this](uint64_t bytes) { progress_.Found(bytes); };
  return restore;
}

// What the replica would give; tells one that does not exist from one without a fitting restore
// point.
Status RestoreCommand::Look(Candidate* candidate) {
  interrupt_.Watch(candidate->client);
  const ReplicaReader reader(candidate->client, source_.retry);
  const RestoreOptions restore = MakeOptions(candidate->client);
  BeginProgress("reading the replica", candidate->client, 0);
  bool exists = false;
  missing_ = false;
  const auto look = [&](const Catalogue& seen) -> Result<RestorePlan> {
    Status there = CheckRestorable(reader, seen);
    exists = there.code() != Code::kNotFound;
    BACKSTAY_TRY(there);
    return PlanRestore(reader, seen, restore.target, restore.plan);
  };
  Result<RestorePlan> plan = LookAtReplica(reader, restore.plan.log.parallelism, look,
                                           FetchAhead(restore.replay.ahead, restore.target));
  if (!exists) missing_ = plan.status().code() == Code::kNotFound;
  if (!plan.ok()) return plan.status();
  candidate->plan = std::move(*plan);
  return Status::Ok();
}

// Everything that a replica must be asked for comes before anything local is changed.
Status RestoreCommand::FromReplica(Candidate* candidate) {
  ReplicaClient* const client = candidate->client;
  interrupt_.Watch(client);
  missing_ = false;
  local_ = false;
  avoid_.clear();
  RestoreOptions restore = MakeOptions(client);
  if (request_.flags.dry_run) {
    const RestorePlan& plan = candidate->plan;
    BACKSTAY_TRY(restore.planned(plan));
    progress_.End();
    const ReplicaReader reader(client, source_.retry);
    const uint64_t requests =
        client->Counters().requests + RequestsOf(reader, plan, restore.replay);
    ReportRestored(request_, {plan, client->Describe(), requests});
    return Status::Ok();
  }
  restore.ready = std::move(candidate->plan);
  const bool follow = request_.flags.follow;
  FileRestore file{request_.output, request_.file, std::move(restore),           request_.integrity,
                   source_.retry,   number_,       request_.flags.copy || follow};
  Result<FollowState> begun = FollowState{};
  if (follow) {
    file.finish = [&begun, client](const Fd& made, const RestoreOutcome& outcome) {
      begun = Follower::Begin(made, outcome, client->Describe());
      return begun.status();
    };
    file.beside = [this, &begun] { return follow_file_.Save(*begun); };
  }
  Result<RestoreOutcome> outcome = RestoreFile(client, file, &local_);
  progress_.End();
  if (!outcome.ok()) return outcome.status();
  ReportRestored(request_, {outcome->plan, client->Describe(), client->Counters().requests});
  return follow ? Follow(client) : Status::Ok();
}

// Ends well when it is told to.
Status RestoreCommand::Follow(ReplicaClient* client) {
  interrupt_.Watch(client);
  local_ = true;
  const ReplicaReader reader(client, source_.retry);
  Follower::Options options;
  options.copy = request_.output;
  options.file = &follow_file_;
  options.interval_ms = request_.follow_interval_ms;
  options.parallelism = request_.flags.parallelism;
  options.wait = [this](int64_t ms) { return interrupt_.Wait(ms); };
  options.looks_are_free = client->LooksAreFree();
  options.say = PrintLine;
  options.recovered = PrintRecovered;
  Status ended = Follower(reader, options).Run();
  return ended.code() == Code::kCancelled ? Status::Ok() : ended;
}

Result<FollowState> RestoreCommand::OpenCopy() {
  Result<FollowFile> file = FollowFile::Open(request_.output);
  if (file.status().code() == Code::kNotFound) return NotACopy(request_.output, file.status());
  if (!file.ok()) return file.status();
  Result<FollowState> state = file->Load();
  if (!state.ok()) return NotACopy(request_.output, state.status());
  follow_file_ = std::move(*file);
  return state;
}

// A copy that was followed before, from the replica that it is of.
int RestoreCommand::GoOnFollowing(const FollowState& state) {
  const std::string& copy = request_.output;
  local_ = true;
  if (request_.file.mode && chmod(copy.c_str(), *request_.file.mode) != 0) {
    return Fail(Status::Errno("chmod " + copy, errno));
  }
  auto& replicas = source_.replicas;
  std::stable_partition(replicas.begin(), replicas.end(),
                        [&](const auto& replica) { return replica->Describe() == state.replica; });
  for (const auto& replica : replicas) {
    Status done = Follow(replica.get());
    if (done.ok()) return kExitDone;
    if (done.code() != Code::kForeign || replica == replicas.back()) return Fail(done);
    PrintWarning(done.message() + "; trying the next replica");
  }
  return kExitDone;
}

int RestoreCommand::Fail(const Status& status) {
  progress_.End();
  const bool told = status.code() == Code::kCancelled && interrupt_.interrupted();
  NoteError("restore: " + status.message());
  PrintLine(told ? Level::kInfo : Level::kError, "restore: " + status.message());
  if (!local_ && failed_at_.replica != nullptr && status.code() == Code::kCorrupt) {
    const ReplicaReader reader(failed_at_.replica, source_.retry);
    for (const std::string& line : WayOut(reader, request_, failed_at_.avoid)) {
      PrintLine(Level::kInfo, line);
    }
  }
  // What concerns the target is no finding about the replica.
  return local_ ? kExitFailed : ExitCodeOf(status);
}

void RestoreCommand::NoteFailure(ReplicaClient* client, const Status& failed, bool more) {
  const bool damaged = failed.code() == Code::kCorrupt && failed_.code() != Code::kCorrupt;
  const bool counts = failed_.ok() || damaged || (failed_.code() == Code::kNotFound && !missing_);
  if (counts) failed_ = failed;
  if (counts) failed_at_ = {client, avoid_};
  all_missing_ = all_missing_ && missing_;
  if (more) PrintWarning(failed.message() + "; trying the next replica");
}

std::vector<Candidate> RestoreCommand::LookAll() {
  const size_t count = source_.replicas.size();
  std::vector<Candidate> candidates;
  for (size_t i = 0; i < count; ++i) {
    Candidate candidate{source_.replicas[i].get(), i, {}};
    Status looked = Look(&candidate);
    if (looked.ok()) {
      candidates.push_back(std::move(candidate));
    } else {
      NoteFailure(candidate.client, looked, i + 1 < count || !candidates.empty());
    }
  }
  return candidates;
}

// A transaction number is one replica's own: then their order decides.
void RestoreCommand::Choose(std::vector<Candidate>* candidates) const {
  if (candidates->size() < 2) return;
  if (request_.target.kind != RestoreTarget::Kind::kTxid) NewestFirst(candidates);
  PrintLine(Level::kInfo, "from " + candidates->front().client->Describe());
  for (size_t i = 1; i < candidates->size(); ++i) {
    PrintLine(Level::kInfo, Compare(candidates->front(), (*candidates)[i]));
  }
}

int RestoreCommand::TryReplicas() {
  std::vector<Candidate> candidates = LookAll();
  if (candidates.empty() && all_missing_ && request_.flags.if_replica_exists) {
    for (const auto& replica : source_.replicas) {
      Status there = replica->ProvePlace();
      if (!there.ok()) return Fail(there);
    }
    return NothingToDo(failed_.message());
  }
  Choose(&candidates);
  for (size_t i = 0; i < candidates.size(); ++i) {
    number_ = candidates[i].number;
    Status done = FromReplica(&candidates[i]);
    if (done.ok()) return kExitDone;
    if (local_) return Fail(done);
    NoteFailure(candidates[i].client, done, i + 1 < candidates.size());
  }
  return Fail(failed_);
}

int RestoreCommand::Run() {
  const RestoreFlags& flags = request_.flags;
  const std::string& output = request_.output;
  local_ = true;
  Result<bool> exists = DatabaseExists(output);
  if (!exists.ok()) return Fail(exists.status());
  if (*exists && flags.if_db_not_exists && !flags.follow) return NothingToDo(output + " exists");
  Result<FollowState> followed = Status(Code::kNotFound, "");
  if (*exists && flags.follow && !flags.force) {
    followed = OpenCopy();
    if (!followed.ok()) return Fail(followed.status());
  }
  bool holds_pages = false;
  if (!flags.dry_run && !followed.ok()) {
    // What would stop it in the end stops it before the first request.
    Result<std::unique_ptr<TargetFile>> file = TargetFile::Create(output, request_.file);
    if (!file.ok()) return Fail(file.status());
    holds_pages = (*file)->holds_pages();
  }
  local_ = false;
  if (flags.timestamp) {
    PrintLine(Level::kInfo, "-timestamp " + *flags.timestamp + " is " +
                                FormatRfc3339(request_.target.time_ms) + " (" +
                                request_.local_time + ")");
  }
  Result<Source> source = OpenSource(flags.from, flags.source, NameOf(output));
  if (!source.ok()) return Fail(source.status());
  source_ = std::move(*source);
  const Ticker ticker(250, [this] { progress_.Tick(); });
  if (!followed.ok()) MayFetchAhead(holds_pages);
  return followed.ok() ? GoOnFollowing(*followed) : TryReplicas();
}

}  // namespace

int RunRestore(const std::vector<std::string>& arguments) {
  RestoreFlags flags;
  Arguments app("restore", "Rebuilds a database from its replica.");
  flags.Bind(&app);
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  Result<RestoreRequest> request = ReadRequest(flags);
  if (request.ok()) return RestoreCommand(std::move(*request)).Run();
  PrintError("restore: " + request.status().message());
  return kExitUsage;
}

}  // namespace backstay
