#include "uploader/replica/replay.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "uploader/format/frame_codec.h"
#include "uploader/replica/pack_cover.h"
#include "uploader/replica/parallel.h"
#include "uploader/replica/segment_apply.h"

namespace backstay {
namespace {

// Neighbouring log objects of one pack, fetched with one request; or a single.
struct Batch {
  size_t first = 0;  // index of the entry
  size_t count = 0;
  LogSource source;
};

std::vector<Batch> MakeBatches(const std::vector<LogEntry>& entries, uint64_t batch_bytes) {
  std::vector<Batch> batches;
  for (size_t i = 0; i < entries.size(); ++i) {
    const LogSource& source = entries[i].sources.front();
    Batch* last = batches.empty() ? nullptr : &batches.back();
    const bool joins = last != nullptr && !entries[i].body && last->source.key == source.key &&
                       last->source.offset + last->source.length == source.offset &&
                       last->source.length + source.length <= batch_bytes;
    if (joins) {
      ++last->count;
      last->source.length += source.length;
    } else {
      batches.push_back({i, 1, source});
    }
  }
  return batches;
}

// A page that is written costs its segment a byte at least. Pages of zeros come for nothing, where
// a database has grown by pages that SQLite then freed unwritten: never more than fit in its cache.
uint64_t MaxPages(const RestorePlan& plan) {
  return plan.snapshot.pages + plan.LogBytes() + kMaxUnwrittenPages;
}

class Replayer {
 public:
  Replayer(const ReplicaReader& reader, const RestorePlan& plan, PageStore* store,
           const ReplayOptions& options)
      : reader_(reader),
        plan_(plan),
        options_(options),
        image_(store, plan.snapshot.page_size, MaxPages(plan)),
        apply_(plan, &image_) {}

  Status LoadSnapshot();
  Status ReplayLog();
  Result<ReplayResult> Finish();

 private:
  Result<SnapshotFrame> LoadFrame(uint32_t index) const;
  Status Missing(const Status& not_found) const;
  Status ApplyEntry(const LogEntry& entry, Bytes body);
  Status ApplyBatch(const Batch& batch, const std::string& bytes);

  const ReplicaReader& reader_;
  const RestorePlan& plan_;
  const ReplayOptions options_;
  DatabaseImage image_;
  SegmentApply apply_;
};

// A snapshot that is deleted loses its manifest first.
Status Replayer::Missing(const Status& not_found) const {
  const std::string manifest = SnapshotManifestKey(plan_.snapshot.next_log_number);
  const Status found = reader_.Get(manifest).status();
  if (found.code() == Code::kNotFound) return StaleListing(manifest);
  return found.ok() ? Status(Code::kCorrupt, not_found.message()) : found;
}

Result<SnapshotFrame> Replayer::LoadFrame(uint32_t index) const {
  const SnapshotManifest& manifest = plan_.snapshot;
  const std::string key = SnapshotFrameKey(manifest.next_log_number, manifest.nonce, index);
  Result<std::string> body = reader_.GetRange(key, 0, manifest.frame_bytes[index]);
  if (body.status().code() == Code::kNotFound) return Missing(body.status());
  if (!body.ok()) return body.status();
  Result<SnapshotFrame> frame = DecodeSnapshotFrame(AsBytes(*body));
  if (!frame.ok()) return frame.status().Wrap(key);
  const uint32_t per_frame = SnapshotFramePages(manifest.page_size);
  const uint32_t first = index * per_frame + 1;
  const uint32_t count = std::min(per_frame, manifest.pages - index * per_frame);
  if (frame->page_size != manifest.page_size || frame->first_page != first ||
      frame->hashes.size() != count) {
    return Status(Code::kCorrupt, key + ": belongs to another snapshot");
  }
  return frame;
}

Status Replayer::LoadSnapshot() {
  uint64_t checksum = 0;
  BACKSTAY_TRY(ParallelOrdered<SnapshotFrame>::Run(
      plan_.snapshot.frame_bytes.size(), options_.parallelism, options_.parallelism,
      [this](size_t i) { return LoadFrame(static_cast<uint32_t>(i)); },
      [&](size_t, const SnapshotFrame& frame) {
        for (uint64_t hash : frame.hashes) checksum += hash;
        return image_.WriteRun(frame.first_page, AsBytes(frame.images), frame.hashes);
      }));
  if (checksum != plan_.snapshot.frames_checksum) {
    return {Code::kCorrupt, "snapshot " + std::to_string(plan_.snapshot.next_log_number) +
                                ": its frames are not those that its manifest was made for"};
  }
  return image_.Resize(plan_.snapshot.pages);
}

Status Replayer::ApplyEntry(const LogEntry& entry, Bytes body) {
  Result<LogObject> object = ParseLogObject(body, entry.header.number);
  if (!object.ok()) return object.status();
  return apply_.Apply(*object);
}

// `bytes` may be damaged or too short, which one other source may mend.
Status Replayer::ApplyBatch(const Batch& batch, const std::string& bytes) {
  uint64_t offset = 0;
  for (size_t i = batch.first; i < batch.first + batch.count; ++i) {
    const LogEntry& entry = plan_.entries[i];
    const Bytes all = AsBytes(bytes);
    const bool whole = offset + entry.bytes() <= all.size();
    const Bytes body = whole ? all.subspan(offset, entry.bytes()) : Bytes();
    offset += entry.bytes();
    Status done;
    if (whole && CheckEntry(entry, body).ok()) {
      done = ApplyEntry(entry, body);
    } else {
      Result<std::shared_ptr<const std::string>> fetched = FetchEntry(reader_, entry);
      if (!fetched.ok()) return fetched.status();
      done = ApplyEntry(entry, AsBytes(**fetched));
    }
    if (!done.ok()) return done.Wrap(entry.sources.front().key);
  }
  return Status::Ok();
}

Status Replayer::ReplayLog() {
  const std::vector<Batch> batches = MakeBatches(plan_.entries, options_.batch_bytes);
  using Body = std::shared_ptr<const std::string>;
  return ParallelOrdered<Body>::Run(
      batches.size(), options_.parallelism, options_.parallelism,
      [&](size_t i) -> Result<Body> {
        const LogEntry& first = plan_.entries[batches[i].first];
        if (batches[i].count == 1 && first.body) return first.body;
        const LogSource& source = batches[i].source;
        Result<std::string> body = reader_.GetRange(source.key, source.offset, source.length);
        if (body.ok()) return std::make_shared<const std::string>(std::move(*body));
        const Code code = body.status().code();
        // Gone or cut short: object by object, from wherever each still is.
        if (code == Code::kNotFound || code == Code::kCorrupt || code == Code::kInvalid) {
          return std::make_shared<const std::string>();
        }
        return body.status();
      },
      [&](size_t i, const Body& body) { return ApplyBatch(batches[i], *body); });
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

Result<ReplayResult> Replay(const ReplicaReader& reader, const RestorePlan& plan, PageStore* store,
                            const ReplayOptions& options, bool* snapshot_damaged) {
  *snapshot_damaged = false;
  Replayer replayer(reader, plan, store, options);
  Status loaded = replayer.LoadSnapshot();
  if (!loaded.ok()) {
    *snapshot_damaged = loaded.code() == Code::kCorrupt;
    return loaded;
  }
  BACKSTAY_TRY(replayer.ReplayLog());
  return replayer.Finish();
}

}  // namespace backstay
