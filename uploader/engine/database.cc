#include "uploader/engine/database.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <thread>
#include <utility>

#include "uploader/base/caught.h"
#include "uploader/base/file.h"
#include "uploader/base/json_text.h"
#include "uploader/engine/bridge.h"
#include "uploader/state/state_folder.h"
#include "uploader/state/status_file.h"
#include "uploader/storage/client_factory.h"

namespace backstay {
namespace {

constexpr int64_t kStatusIntervalMs = 1000;
constexpr int64_t kStartAgainMs = 1000;
constexpr uint64_t kManyPages = 256;  // the capture thread should not wait for more of them

}  // namespace

Result<std::unique_ptr<Database>> Database::Open(DatabaseOptions options,
                                                 const BackstayHost& host) {
  std::unique_ptr<Database> database(new Database(std::move(options)));
  if (Status added = database->AddPipelines(); !added.ok()) return added;
  database->Begin(host);
  return database;
}

void Database::Begin(const BackstayHost& host) {
  host_.Replace(host);
  FileLook look = host_.Look(path());
  for (auto& pipeline : pipelines_) {
    static_cast<void>(pipeline->handover()->Opened(look));
    pipeline->HostOpened(look.stamp);
  }
  (void)Caught([this] { return StartThreads(), Status::Ok(); });
}

void Database::StartThreads() {
  if (started_) return;
  std::unique_lock<std::mutex> lock(start_mutex_, std::try_to_lock);
  const int64_t now = options_.clock->MonotonicMs();
  if (!lock || stopping_ || now < start_at_ms_) return;
  start_at_ms_ = now + kStartAgainMs;
  started_ = std::all_of(pipelines_.begin(), pipelines_.end(),
                         [](auto& pipeline) { return pipeline->Start(); });
  if (started_) return threads_.Recovered("threads can be started again", {{"db", path()}});
  const bool known = threads_.failing();
  threads_.Failed(std::string(kNoThread) + ": not replicated until one can", {{"db", path()}});
  if (known) return;
  // Nobody else would write it.
  (void)MakeStateFolder(StateFolderOf(path()), path());
  WriteStatusFile();
}

Status Database::AddPipelines() {
  const auto& replicas = options_.settings.replicas;
  if (replicas.size() > 1) {
    BACKSTAY_TRY(MakeStateFolder(StateFolderOf(path()), path()));
  }
  for (size_t i = 0; i < replicas.size(); ++i) {
    // Not as fields: a copy of those that runs out of memory is undefined, as UBSan says.
    const std::string db = path();
    const std::string replica = replicas[i].Describe();
    SilenceWords silence;
    silence.begins = [logger = options_.logger, db, replica](const std::string& text) {
      logger->Log(Level::kWarn, text, {{"db", db}, {"replica", replica}});
    };
    silence.ends = [logger = options_.logger, db, replica](const std::string& text) {
      logger->Recovered(text, {{"db", db}, {"replica", replica}});
    };
    silence.notes = [logger = options_.logger, db, replica](const std::string& text) {
      logger->Log(Level::kInfo, text, {{"db", db}, {"replica", replica}});
    };
    Result<std::unique_ptr<ReplicaClient>> client = options_.make_client(
        replicas[i], {.silence = std::move(silence), .retries = options_.retries});
    if (!client.ok()) return client.status();
    CoreOptions core;
    core.settings = options_.settings;
    core.replica = replicas[i].Describe();
    core.folder = StateFolderOf(path(), core.replica, i);
    core.file = options_.file;
    core.host = &host_;
    core.clock = options_.clock;
    core.logger = options_.logger;
    core.random = options_.random;
    core.locks = options_.locks;
    core.origin = &origin_;
    core.look = options_.look;
    Workers* workers = options_.workers != nullptr ? options_.workers : &own_workers_;
    pipelines_.push_back(std::make_unique<Pipeline>(std::move(core), std::move(*client), workers,
                                                    [this] { Tick(); }));
  }
  return Status::Ok();
}

void Database::Reopen(const BackstayHost& host) {
  host_.Replace(host);
  closed_ = false;
  patient_ = true;
  (void)Caught([this] { return StartThreads(), Status::Ok(); });
  FileLook look = host_.Look(path());
  for (auto& pipeline : pipelines_) {
    if (look.rollback) pipeline->board()->LeaveWal();
    if (!pipeline->handover()->Opened(look)) pipeline->HostOpened(look.stamp);
  }
}

void Database::Close() {
  ++closing_;
  closed_at_ms_ = options_.clock->MonotonicMs();
  closed_ = true;
}

void Database::Linger(int64_t deadline_ms) {
  constexpr int64_t kLookMs = 100;
  for (auto& pipeline : pipelines_) {
    while (started_ && closed_ && !stopping_ && pipeline->Owes()) {
      const int64_t left = deadline_ms - options_.clock->MonotonicMs();
      if (left <= 0 || pipeline->neighbours()->Sync(std::min(left, kLookMs), true)) break;
    }
  }
}

void Database::Poke() {
  for (auto& pipeline : pipelines_) pipeline->board()->Poke();
}

void Database::Committed(const WalTarget& target) {
  for (auto& pipeline : pipelines_) {
    if (target.max_frame == 0) {
      pipeline->board()->BeganAnew(target.change);
      continue;
    }
    if (pipeline->handover()->rollback()) pipeline->handover()->EnterWal(host_.Look(path()));
    pipeline->neighbours()->Committed(target);
  }
  StartThreads();
}

void Database::Writing() {
  FileLook look = host_.Look(path());
  before_ = look;
  for (auto& pipeline : pipelines_) pipeline->handover()->Begin(look);
}

void Database::Written(const BackstayWrites& writes) {
  FileLook look = host_.Look(path());
  TransactionPtr transaction;
  std::optional<TrailStep> step;
  try {
    transaction = ToTransaction(writes, look);
    if (transaction->complete) {
      step = {PlaceOf(before_), PlaceOf(look), look.page_size, look.pages, transaction->pgnos};
    }
  } catch (const std::exception&) {
    // Out of memory: the database is compared instead.
  }
  for (auto& pipeline : pipelines_) {
    Handover* handover = pipeline->handover();
    if (!handover->rollback()) pipeline->board()->LeaveWal();
    transaction != nullptr ? handover->End(transaction, look) : handover->EndUnknown(look);
    pipeline->board()->Handed(handover->queued_pages() >= kManyPages);
    if (step) pipeline->NoteStep(*step);
    if (writes.committed != 0) pipeline->neighbours()->Changed();
  }
  StartThreads();
}

TransactionPtr Database::ToTransaction(const BackstayWrites& writes, const FileLook& look) const {
  auto made = std::make_shared<Transaction>();
  made->committed = writes.committed != 0;
  made->page_size = look.page_size;
  made->pages = look.pages;
  made->time_ms = options_.clock->WallMs();
  made->complete = writes.complete != 0 && writes.page_size == look.page_size;
  if (!made->complete) return made;
  made->pgnos.assign(writes.pgnos, writes.pgnos + writes.count);
  if (writes.images == nullptr) return made;
  const size_t bytes = size_t{writes.count} * writes.page_size;
  made->images.assign(writes.images, writes.images + bytes);
  made->old.assign(writes.old, writes.old + bytes);
  return made;
}

bool Database::Finish(int64_t timeout_ms, bool commit_waits) {
  int64_t deadline = options_.clock->MonotonicMs() + timeout_ms;
  bool all = true;
  for (auto& pipeline : pipelines_) {
    const int64_t left = deadline - options_.clock->MonotonicMs();
    all = pipeline->neighbours()->Finish(left, commit_waits) && all;
  }
  return all;
}

// A page that the capture thread has not compared before it is overwritten goes out in full. Before
// it knows where the files stand at all, a checkpoint makes it compare every page.
void Database::BeforeCheckpoint() {
  constexpr int64_t kUsualMs = 20;
  constexpr int64_t kFirstMs = 2000;
  const bool placed = std::all_of(pipelines_.begin(), pipelines_.end(),
                                  [](auto& pipeline) { return pipeline->placed(); });
  const bool patient = !placed && patient_.exchange(false);
  (void)Finish(patient ? kFirstMs : kUsualMs);
}

void Database::WalGone() {
  FileLook look = host_.Look(path());
  for (auto& pipeline : pipelines_) pipeline->NoteWalGone(look);
}

bool Database::Sync(int64_t timeout_ms) {
  const bool commit = timeout_ms == BACKSTAY_SYNC_COMMIT;
  if (timeout_ms < 0) timeout_ms = options_.settings.sync_timeout_ms;
  const int64_t start = options_.clock->MonotonicMs();
  AwaitThreads(start + timeout_ms);
  bool all = true;
  for (auto& pipeline : pipelines_) {
    all = pipeline->Sync(start + timeout_ms - options_.clock->MonotonicMs(), commit) && all;
  }
  if (all) {
    CommitsAreSafe();
  } else if (commit) {
    CommitIsLate(options_.clock->MonotonicMs() - start);
  }
  return all;
}

// Where nobody would ship, a wait would be in vain.
void Database::AwaitThreads(int64_t deadline_ms) {
  for (StartThreads(); !started_ && !stopping_; StartThreads()) {
    const int64_t left = deadline_ms - options_.clock->MonotonicMs();
    if (left <= 0) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min(left, kStartAgainMs / 10)));
  }
}

void Database::Leave() {
  host_.Leave();
  for (auto& pipeline : pipelines_) pipeline->Leave();
}

bool Database::Drain(LastWait* wait) {
  StartThreads();
  if (!started_) return false;
  bool all = true;
  for (auto& pipeline : pipelines_) all = pipeline->Drain(wait) && all;
  if (all) CommitsAreSafe();
  return all;
}

std::string Database::Problem() {
  std::string why;
  for (auto& pipeline : pipelines_) {
    if (why.empty()) why = pipeline->Problem();
  }
  return why;
}

Proof Database::ProofSince(int64_t since_ms, int64_t lag_ms) {
  if (!started_) return {Proof::kAwaited, path() + ": its threads could not be started"};
  Proof proof;
  for (auto& pipeline : pipelines_) proof.Add(pipeline->ProofSince(since_ms, lag_ms));
  return proof;
}

void Database::CommitIsLate(int64_t waited_ms) {
  ++late_commits_;
  const std::string why = Problem();
  late_.Failed("durability=sync: a commit returned after " + std::to_string(waited_ms) +
                   " ms and is not in every replica" + (why.empty() ? "" : ": " + why),
               {{"db", path()}});
}

void Database::CommitsAreSafe() {
  late_.Recovered("durability=sync: every commit is in every replica again", {{"db", path()}});
}

bool Database::Quiet() {
  return closed_ && closing_ == 0 &&
         std::all_of(pipelines_.begin(), pipelines_.end(),
                     [](auto& pipeline) { return pipeline->Quiet(); });
}

bool Database::Over() {
  if (!Quiet()) return false;
  const bool stopped = std::all_of(pipelines_.begin(), pipelines_.end(),
                                   [](auto& pipeline) { return pipeline->Stopped(); });
  return stopped || StampOf(path()).size < 0;
}

std::string Database::Outlook() {
  for (auto& pipeline : pipelines_) {
    std::string outlook = pipeline->Outlook();
    if (!outlook.empty()) return outlook;
  }
  return "the rest follows at the next start on this disk";
}

// What others say of a database that they ship is not overwritten.
bool Database::Leads() {
  return std::any_of(pipelines_.begin(), pipelines_.end(),
                     [](auto& pipeline) { return pipeline->Leads(); });
}

// The whole is as good as its worst replica, in the order in which somebody should look.
std::string Database::State() {
  std::string state = "replicating";
  for (const char* worse : {"ended", "snapshotting", "starting", "passive", "repairing", "retrying",
                            "error", "fenced"}) {
    for (auto& pipeline : pipelines_) {
      if (pipeline->State() == worse) state = worse;
    }
  }
  return state;
}

std::string Database::StatusJson() { return Describe(options_.clock->WallMs()); }

std::string Database::Describe(int64_t now_ms) {
  JsonText status(2);
  status.Open('{');
  status.Add("db", path());
  status.Add("pid", process_.pid);
  status.Add("pid_started", process_.started);
  status.Add("boot_id", process_.boot);
  status.Add("written", now_ms == 0 ? "" : FormatRfc3339(now_ms));
  status.Add("written_ms", now_ms);
  status.Add("durability", sync_commits() ? "sync" : "async");
  if (sync_commits()) {
    status.Add("late_commits", late_commits_.load());
    status.Add("late", late_.failing());
  }
  if (const HeartbeatTally* beats = options_.heartbeat; beats != nullptr) {
    status.Add("heartbeat", TimeOrNull(beats->good_ms));
    status.Add("heartbeat_ms", MsOrNull(beats->good_ms));
    status.Add("heartbeat_failures", beats->failures.load());
  }
  status.Add("state", State());
  // What it says is its last word: it did not die over it.
  status.Add("ended", stopping_.load());
  status.Open('[', "replicas");
  for (auto& pipeline : pipelines_) pipeline->AddStatus(&status);
  status.Close(']');
  status.Close('}');
  return status.Take() + "\n";
}

void Database::Tick() {
  {
    std::lock_guard<std::mutex> lock(status_mutex_);
    int64_t now = options_.clock->MonotonicMs();
    // What the last one that shipped has left is not true of this one.
    const bool began = !std::exchange(led_, Leads()) && led_;
    if (!began && status_at_ms_ != 0 && now - status_at_ms_ < kStatusIntervalMs) return;
    status_at_ms_ = now;
  }
  if (late_.failing() && std::all_of(pipelines_.begin(), pipelines_.end(), [](auto& pipeline) {
        return pipeline->neighbours()->AllShipped();
      })) {
    CommitsAreSafe();
  }
  WriteStatusFile();
  if (Quiet()) options_.quiet();
}

void Database::WriteStatusFile() {
  if (retired_ || !Leads()) return;
  std::string status = Describe(0);
  std::lock_guard<std::mutex> lock(status_mutex_);
  const bool changed = status != status_written_;
  const bool metrics = metrics_.Due(changed, stopping_);
  if (!changed && !metrics) return;
  const std::string text = Describe(options_.clock->WallMs());
  if (metrics) metrics_.Write(text, !stopping_);
  if (!changed) return;
  // A folder that cannot be written is reported where it matters: by the capture thread.
  const Status written = backstay::WriteStatusFile(StateFolderOf(path()), text);
  if (written.ok()) status_written_ = std::move(status);
}

}  // namespace backstay
