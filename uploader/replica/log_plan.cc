#include "uploader/replica/log_plan.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "uploader/replica/pack_cover.h"
#include "uploader/replica/parallel.h"

namespace backstay {
namespace {

constexpr uint64_t kMaxSingleBytes = 1ULL << 30;
// Objects behind a gap that are looked at; dead writers leave a few.
constexpr size_t kMaxBehindGap = 64;

Result<std::string> GetSingle(const ReplicaReader& reader, uint64_t number) {
  GetOptions options;
  options.max_bytes = kMaxSingleBytes;
  return reader.Get(LogKey(number), options);
}

class Planner {
 public:
  Planner(const ReplicaReader& reader, const Catalogue& catalogue, const LogStart& start,
          const LogPlanOptions& options)
      : reader_(reader),
        catalogue_(catalogue),
        options_(options),
        cover_(reader, catalogue),
        start_(start),
        void_below_(start.epoch),
        end_{start.segment_number, start.txid, start.segment_hash},
        before_(end_) {
    plan_.next_number = start.number;
    plan_.epoch = start.epoch;
  }

  Result<LogPlan> Run() {
    BACKSTAY_TRY(cover_.Prepare(start_.number, options_.parallelism));
    while (!plan_.damage && !ended_) BACKSTAY_TRY(Advance());
    plan_.txid = end_.txid;
    return std::move(plan_);
  }

 private:
  Status Advance();
  Status AddPack(const LoadedPack& pack);
  Status AddSingles(const std::vector<uint64_t>& numbers);
  Status ProbeSingle();
  Status AddSingle(uint64_t number, std::string body);
  bool TakeoverFits(const Takeover& takeover) const;
  void AddSegments(LogEntry entry, const std::vector<Segment>* segments);
  void DropOverwritten(const LogEntry& entry, const std::vector<Segment>* segments);
  Status EndAtGap();
  Status LookBehindGap(uint64_t gap);
  void Damage(const std::string& what) { plan_.damage = LogDamage{plan_.next_number, what}; }
  std::vector<uint64_t> ListedRun() const;

  const ReplicaReader& reader_;
  const Catalogue& catalogue_;
  const LogPlanOptions options_;
  PackCover cover_;
  LogPlan plan_;
  const LogStart start_;
  uint64_t void_below_;
  struct End {
    uint64_t segment = 0;  // number
    uint64_t txid = 0;
    std::optional<uint64_t> hash;  // not known behind a packed segment
  };
  End end_;
  End before_;         // before the last entry
  uint64_t kept_ = 0;  // bytes
  bool ended_ = false;
};

// Consecutive listed singles from the next number on, up to the next pack.
std::vector<uint64_t> Planner::ListedRun() const {
  std::vector<uint64_t> run;
  const uint64_t end = cover_.NextAfter(plan_.next_number);
  auto single = catalogue_.singles.find(plan_.next_number);
  for (; single != catalogue_.singles.end(); ++single) {
    if (single->first != plan_.next_number + run.size() || single->first >= end) break;
    run.push_back(single->first);
  }
  return run;
}

Status Planner::Advance() {
  Result<const LoadedPack*> pack = cover_.At(plan_.next_number);
  if (!pack.ok()) return pack.status();
  if (*pack != nullptr) return AddPack(**pack);
  std::vector<uint64_t> run = ListedRun();
  return run.empty() ? ProbeSingle() : AddSingles(run);
}

Status Planner::AddPack(const LoadedPack& pack) {
  Result<std::vector<const LoadedPack*>> others = cover_.Others(pack);
  if (!others.ok()) return others.status();
  std::vector<const LoadedPack*> packs{&pack};
  packs.insert(packs.end(), others->begin(), others->end());
  while (!plan_.damage && plan_.next_number <= pack.name.last) {
    const uint64_t number = plan_.next_number;
    const PackedObject& object = pack.objects[number - pack.name.first];
    LogEntry entry{object.header, object.segments, {}, nullptr};
    for (const LoadedPack* each : packs) {
      if (number < each->name.first || number > each->name.last) continue;
      const PackedObject& copy = each->objects[number - each->name.first];
      entry.sources.push_back({each->name.key(), copy.offset, copy.length});
    }
    auto single = catalogue_.singles.find(number);
    if (single != catalogue_.singles.end()) {
      entry.sources.push_back({LogKey(number), 0, single->second});
    }
    AddSegments(std::move(entry), nullptr);
  }
  return Status::Ok();
}

Status Planner::AddSingles(const std::vector<uint64_t>& numbers) {
  const ParallelLimits limits{
      options_.parallelism, 4 * options_.parallelism, options_.room,
      [&](size_t i) { return catalogue_.singles.find(numbers[i])->second; }};
  return ParallelOrdered<std::string>::Run(
      numbers.size(), limits,
      [&](size_t i) -> Result<std::string> {
        Result<std::string> body = GetSingle(reader_, numbers[i]);
        if (body.ok() || body.status().code() != Code::kNotFound) return body;
        return StaleListing(LogKey(numbers[i]));
      },
      [&](size_t i, std::string body) {
        return plan_.damage ? Status::Ok() : AddSingle(numbers[i], std::move(body));
      });
}

// LIST may lag behind (and the writer may have gone on): ask for the object itself.
Status Planner::ProbeSingle() {
  Result<std::string> body = GetSingle(reader_, plan_.next_number);
  if (body.ok()) return AddSingle(plan_.next_number, std::move(*body));
  if (body.status().code() != Code::kNotFound) return body.status();
  return EndAtGap();
}

// The record names the end of the log before it: the same one that was followed here.
bool Planner::TakeoverFits(const Takeover& takeover) const {
  return takeover.database_id == catalogue_.identity.id &&
         takeover.segment_number == end_.segment &&
         (!end_.hash || takeover.segment_hash == *end_.hash);
}

Status Planner::AddSingle(uint64_t number, std::string body) {
  auto kept = std::make_shared<const std::string>(std::move(body));
  size_t consumed = 0;
  Result<LogHeader> header = ParseLogHeader(AsBytes(*kept), &consumed);
  if (header.ok() && header->number == number && header->epoch < void_below_) {
    ++plan_.next_number;
    return Status::Ok();
  }
  Result<LogObject> object = ParseLogObject(AsBytes(*kept), number);
  if (!object.ok() && object.status().code() != Code::kCorrupt) {
    return object.status().Wrap(LogKey(number));
  }
  if (!object.ok()) {
    Damage(LogKey(number) + ": " + object.status().message());
    return Status::Ok();
  }
  if (IsTakeover(object->header.kind) && !TakeoverFits(object->takeover)) {
    Damage(LogKey(number) + ": takes over from another end of the log");
    return Status::Ok();
  }
  LogEntry entry{object->header, {}, {{LogKey(number), 0, kept->size()}}, nullptr};
  for (const Segment& segment : object->segments) entry.segments.push_back(InfoOf(segment));
  if (kept_ + kept->size() <= options_.keep_bytes) {
    kept_ += kept->size();
    entry.body = kept;
  }
  AddSegments(std::move(entry), &object->segments);
  return Status::Ok();
}

// `segments`: the parsed ones, when there are more than their infos.
void Planner::AddSegments(LogEntry entry, const std::vector<Segment>* segments) {
  if (entry.header.epoch < void_below_) {
    ++plan_.next_number;
    return;
  }
  DropOverwritten(entry, segments);
  const std::string name = entry.sources.front().key;
  const End before = end_;
  for (size_t i = 0; i < entry.segments.size(); ++i) {
    const SegmentInfo& info = entry.segments[i];
    if (info.number <= start_.segment_number) continue;
    const bool follows = info.number == end_.segment + 1 && info.first_txid > end_.txid;
    const bool linked =
        segments == nullptr || !end_.hash || (*segments)[i].header().previous_hash == *end_.hash;
    if (!follows || !linked) {
      Damage(name + ": segment " + std::to_string(info.number) + " does not follow segment " +
             std::to_string(end_.segment));
      return;
    }
    end_.segment = info.number;
    end_.txid = info.last_txid();
    end_.hash.reset();
    if (segments != nullptr) end_.hash = (*segments)[i].hash();
  }
  if (IsTakeover(entry.header.kind)) void_below_ = entry.header.epoch;
  if (entry.header.kind == LogKind::kNewBase) {
    if (!plan_.base_end) plan_.base_end = plan_.entries.size();
    ++end_.txid;  // the change of the page size
  }
  plan_.epoch = std::max(plan_.epoch, entry.header.epoch);
  plan_.entries.push_back(std::move(entry));
  before_ = before;
  ++plan_.next_number;
}

// Where the store does not refuse to create what exists, a writer that was overtaken can put its
// last object over the takeover. The object behind it tells: of a higher epoch that nobody has
// announced, it follows what was before.
void Planner::DropOverwritten(const LogEntry& entry, const std::vector<Segment>* segments) {
  if (plan_.entries.empty() || entry.segments.empty()) return;
  const LogEntry& last = plan_.entries.back();
  const bool overtaken = last.header.kind == LogKind::kSegments &&
                         last.header.epoch == plan_.epoch && entry.header.epoch > plan_.epoch;
  const SegmentInfo& first = entry.segments.front();
  const bool follows = first.number == before_.segment + 1 && first.first_txid > before_.txid;
  const bool linked = segments == nullptr || !before_.hash ||
                      segments->front().header().previous_hash == *before_.hash;
  if (!overtaken || !follows || !linked || end_.segment == before_.segment) return;
  plan_.entries.pop_back();
  end_ = before_;
  void_below_ = entry.header.epoch;
}

Status Planner::EndAtGap() {
  ended_ = true;
  const uint64_t gap = plan_.next_number;
  Status problem = cover_.ProblemAt(gap);
  if (!problem.ok()) {
    Damage(problem.message());
    return Status::Ok();
  }
  if (cover_.NextAfter(gap) != std::numeric_limits<uint64_t>::max()) {
    Damage(LogKey(gap) + " is missing, and packs follow");
    return Status::Ok();
  }
  return LookBehindGap(gap);
}

Status Planner::LookBehindGap(uint64_t gap) {
  size_t looked_at = 0;
  for (auto single = catalogue_.singles.upper_bound(gap); single != catalogue_.singles.end();
       ++single) {
    const uint64_t number = single->first;
    Result<std::string> body = GetSingle(reader_, number);
    if (!body.ok() && body.status().code() == Code::kNotFound) return StaleListing(LogKey(number));
    if (!body.ok()) return body.status();
    size_t consumed = 0;
    Result<LogHeader> header = ParseLogHeader(AsBytes(*body), &consumed);
    if (header.ok() && header->epoch < void_below_ && ++looked_at < kMaxBehindGap) continue;
    // A writer puts an object only when the one before is there: what was has been lost.
    Damage(LogKey(gap) + " is missing, and " + LogKey(number) + " follows");
    return Status::Ok();
  }
  return Status::Ok();
}

}  // namespace

LogStart StartOf(const SnapshotManifest& manifest) {
  return {manifest.next_log_number, manifest.epoch, manifest.segment_number, manifest.segment_hash,
          manifest.start_txid};
}

LogPlan OfOneBase(LogPlan plan) {
  if (!plan.base_end) return plan;
  plan.next_number = plan.entries[*plan.base_end].header.number;
  plan.entries.resize(*plan.base_end);
  plan.damage.reset();
  return plan;
}

Result<LogEnd> EndOf(const ReplicaReader& reader, const LogStart& start, const LogPlan& plan) {
  LogEnd end{start.segment_number, start.segment_hash, plan.txid};
  bool cut = false;  // a transaction that had begun there never ends
  for (auto entry = plan.entries.rbegin(); entry != plan.entries.rend(); ++entry) {
    cut = cut || entry->header.kind == LogKind::kNewBase;
    if (entry->segments.empty()) continue;
    Result<std::shared_ptr<const std::string>> body = FetchEntry(reader, *entry);
    if (!body.ok()) return body.status();
    Result<LogObject> object = ParseLogObject(AsBytes(**body), entry->header.number);
    if (!object.ok()) return object.status();
    const Segment& last = object->segments.back();
    return LogEnd{last.header().number, last.hash(), plan.txid, last.steps().back().time_ms,
                  last.more() && !cut};
  }
  return end;
}

Result<LogPlan> PlanLog(const ReplicaReader& reader, const Catalogue& catalogue,
                        const LogStart& start, const LogPlanOptions& options) {
  return Planner(reader, catalogue, start, options).Run();
}

Status CheckEntry(const LogEntry& entry, Bytes body) {
  Result<LogObject> object = ParseLogObject(body, entry.header.number);
  if (!object.ok()) return object.status();
  bool same = object->header.kind == entry.header.kind &&
              object->header.epoch == entry.header.epoch &&
              object->segments.size() == entry.segments.size();
  for (size_t i = 0; same && i < entry.segments.size(); ++i) {
    SegmentInfo info = InfoOf(object->segments[i]);
    const SegmentInfo& planned = entry.segments[i];
    same = info.number == planned.number && info.first_txid == planned.first_txid &&
           info.transactions == planned.transactions && info.flags == planned.flags;
  }
  if (!same) return {Code::kCorrupt, "is not the object that the index describes"};
  return Status::Ok();
}

Result<std::shared_ptr<const std::string>> FetchEntry(const ReplicaReader& reader,
                                                      const LogEntry& entry) {
  if (entry.body) return entry.body;
  Status first;
  for (const LogSource& source : entry.sources) {
    Result<std::string> body = reader.GetRange(source.key, source.offset, source.length);
    Status status = body.status();
    if (status.code() == Code::kNotFound) status = StaleListing(source.key);
    if (body.ok()) {
      status = CheckEntry(entry, AsBytes(*body)).Wrap(source.key);
      if (status.ok()) return std::make_shared<const std::string>(std::move(*body));
    }
    // Damage is reported only when no source may yet be read.
    if (first.ok() || first.code() == Code::kCorrupt) first = status;
  }
  return first;
}

}  // namespace backstay
