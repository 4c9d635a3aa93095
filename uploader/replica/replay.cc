#include "uploader/replica/replay.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "uploader/replica/log_fetch.h"
#include "uploader/replica/parallel.h"
#include "uploader/replica/segment_apply.h"
#include "uploader/replica/snapshot_load.h"

namespace backstay {
namespace {

// A page that is written costs its segment a byte at least. Pages of zeros come for nothing, where
// a database has grown by pages that SQLite then freed unwritten: never more than fit in its cache.
uint64_t MaxPages(const RestorePlan& plan) {
  return plan.snapshot.pages + plan.LogBytes() + kMaxUnwrittenPages;
}

// Of one step of the replay: the hashes of a frame that is in its place, or the bytes of a batch.
struct Fetched {
  std::vector<uint64_t> hashes;
  LogFetch::Body body;
};

// The frames of the snapshot, in whatever order they come, then the log: that is fetched while the
// last frames are, and applied behind them.
class Replayer {
 public:
  Replayer(const ReplicaReader& reader, const RestorePlan& plan, PageStore* store,
           const ReplayOptions& options)
      : plan_(plan),
        options_(options),
        load_(reader, plan.snapshot, store, options.holds_pages, options.ahead),
        log_(reader, plan.entries, options.batch_bytes),
        store_(store),
        image_(store, plan.snapshot.page_size, MaxPages(plan)),
        apply_(plan, &image_) {}

  Status Run();
  // All frames are there, and proven.
  bool loaded() const { return loaded_; }
  Result<ReplayResult> Finish();

 private:
  size_t frames() const { return load_.frames(); }
  uint64_t CostOf(size_t index) const;
  Result<Fetched> Fetch(size_t index);
  Status Take(size_t index, const Fetched& fetched);
  Status ProveSnapshot();

  const RestorePlan& plan_;
  const ReplayOptions options_;
  SnapshotLoad load_;
  const LogFetch log_;
  PageStore* const store_;
  DatabaseImage image_;
  SegmentApply apply_;
  uint64_t checksum_ = 0;  // of the frames so far
  bool loaded_ = false;
};

uint64_t Replayer::CostOf(size_t index) const {
  return index < frames() ? load_.Cost(index) : log_.Cost(index - frames());
}

Result<Fetched> Replayer::Fetch(size_t index) {
  Fetched fetched;
  if (index < frames()) {
    Result<std::vector<uint64_t>> hashes = load_.Load(index);
    if (!hashes.ok()) return hashes.status();
    fetched.hashes = std::move(*hashes);
  } else {
    Result<LogFetch::Body> body = log_.Fetch(index - frames());
    if (!body.ok()) return body.status();
    fetched.body = std::move(*body);
  }
  return fetched;
}

Status Replayer::ProveSnapshot() {
  if (checksum_ != plan_.snapshot.frames_checksum) {
    return {Code::kCorrupt, "snapshot " + std::to_string(plan_.snapshot.next_log_number) +
                                ": its frames are not those that its manifest was made for"};
  }
  loaded_ = true;
  // What lies behind it in the store is none of this database.
  return store_->Truncate(uint64_t{plan_.snapshot.pages} * plan_.snapshot.page_size);
}

Status Replayer::Take(size_t index, const Fetched& fetched) {
  if (index >= frames()) {
    return log_.Use(index - frames(), *fetched.body,
                    [this](const LogEntry& entry, const LogObject& object) {
                      return apply_.Apply(object).Wrap(entry.sources.front().key);
                    });
  }
  for (uint64_t hash : fetched.hashes) checksum_ += hash;
  BACKSTAY_TRY(image_.NoteRun(load_.FirstPage(index), fetched.hashes));
  if (options_.found) options_.found(load_.found_bytes());
  return index + 1 == frames() ? ProveSnapshot() : Status::Ok();
}

Status Replayer::Run() {
  const uint64_t buffers = std::min(options_.room / 2, load_.BufferBytes());
  const ParallelLimits limits{
      options_.parallelism, 2 * options_.parallelism, options_.room - buffers,
      [this](size_t index) { return CostOf(index); },
      // A frame is in its place by then.
      [this](size_t index) { return index < frames() ? 0 : CostOf(index); }};
  return ParallelOrdered<Fetched>::Run(
      frames() + log_.batches(), limits, [this](size_t index) { return Fetch(index); },
      [this](size_t index, const Fetched& fetched) { return Take(index, fetched); });
}

Result<ReplayResult> Replayer::Finish() {
  BACKSTAY_TRY(apply_.Finish());
  ReplayResult result;
  result.page_size = plan_.snapshot.page_size;
  result.pages = image_.pages();
  result.segment_number = apply_.segment_number();
  result.segment_hash = apply_.segment_hash();
  result.checksum_proven = apply_.checksum_proven();
  image_.Checksum();
  result.page_hashes = image_.TakeHashes();
  return result;
}

}  // namespace

uint64_t RequestsOf(const ReplicaReader& reader, const RestorePlan& plan,
                    const ReplayOptions& options) {
  const LogFetch log(reader, plan.entries, options.batch_bytes);
  return plan.snapshot.frame_bytes.size() + log.requests();
}

Result<ReplayResult> Replay(const ReplicaReader& reader, const RestorePlan& plan, PageStore* store,
                            const ReplayOptions& options, bool* snapshot_damaged) {
  *snapshot_damaged = false;
  if (options.ahead != nullptr) options.ahead->KeepOf(plan.snapshot);
  Replayer replayer(reader, plan, store, options);
  Status done = replayer.Run();
  if (done.ok()) return replayer.Finish();
  *snapshot_damaged = !replayer.loaded() && done.code() == Code::kCorrupt;
  return done;
}

}  // namespace backstay
