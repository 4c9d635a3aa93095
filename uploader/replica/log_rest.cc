#include "uploader/replica/log_rest.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "uploader/replica/pack_cover.h"
#include "uploader/replica/parallel.h"

namespace backstay {
namespace {

constexpr size_t kThreads = 8;
constexpr uint64_t kRoom = 16 << 20;  // bytes of objects that are under way
constexpr uint64_t kMaxSingleBytes = 1ULL << 30;

void SeeNumber(uint64_t number, LogRest* rest) {
  rest->next_number = std::max(rest->next_number, number + 1);
}

void SeeEpoch(uint64_t epoch, LogRest* rest) { rest->epoch = std::max(rest->epoch, epoch); }

void SeeSegment(uint64_t number, uint64_t hash, LogRest* rest) {
  if (number <= rest->segment_number) return;
  rest->segment_number = number;
  rest->segment_hash = hash;
}

void SeePoint(uint64_t txid, int64_t time_ms, LogRest* rest) {
  if (txid <= rest->txid) return;
  rest->txid = txid;
  rest->time_ms = time_ms;
}

void SeeSnapshots(const Catalogue& catalogue, LogRest* rest) {
  for (const SnapshotManifest& each : catalogue.snapshots) {
    SeeNumber(each.next_log_number, rest);
    SeeEpoch(each.epoch, rest);
    SeeSegment(each.segment_number, each.segment_hash, rest);
    SeePoint(each.consistent_txid, each.consistent_time_ms, rest);
  }
  for (const DamagedSnapshot& each : catalogue.damaged_snapshots) {
    SeeNumber(each.number, rest);
  }
  for (uint64_t number : catalogue.unfinished_snapshots) SeeNumber(number, rest);
}

Status SeePacks(const ReplicaReader& reader, const Catalogue& catalogue, LogRest* rest) {
  for (const PackName& name : catalogue.packs) {
    SeeNumber(name.last, rest);
    Result<std::vector<PackedObject>> objects = LoadPackIndex(reader, name, catalogue.identity.id);
    if (objects.status().code() == Code::kCorrupt) continue;
    if (!objects.ok()) return objects.status();
    for (const PackedObject& object : *objects) {
      SeeEpoch(object.header.epoch, rest);
      for (const SegmentInfo& each : object.segments) {
        SeeSegment(each.number, 0, rest);
        if (each.transactions > 0) SeePoint(each.last_txid(), each.last_time_ms, rest);
      }
    }
  }
  return Status::Ok();
}

void SeeObject(const LogObject& object, LogRest* rest) {
  if (IsTakeover(object.header.kind)) {
    SeePoint(object.takeover.txid, object.takeover.time_ms, rest);
    return;
  }
  for (const Segment& each : object.segments) {
    SeeSegment(each.header().number, each.hash(), rest);
    SeePoint(each.last_txid(), each.steps().back().time_ms, rest);
  }
}

Status SeeSingles(const ReplicaReader& reader, const Catalogue& catalogue, LogRest* rest) {
  std::vector<uint64_t> numbers;
  std::vector<uint64_t> bytes;
  for (const auto& [number, size] : catalogue.singles) {
    numbers.push_back(number);
    bytes.push_back(size);
  }
  if (!numbers.empty()) SeeNumber(numbers.back(), rest);
  using Body = std::optional<std::string>;
  const ParallelLimits limits{kThreads, 4 * kThreads, kRoom, [&](size_t i) { return bytes[i]; }};
  return ParallelOrdered<Body>::Run(
      numbers.size(), limits,
      [&](size_t i) -> Result<Body> {
        GetOptions options;
        options.max_bytes = kMaxSingleBytes;
        Result<std::string> body = reader.Get(LogKey(numbers[i]), options);
        if (body.ok()) return Body(std::move(*body));
        if (body.status().code() == Code::kNotFound) return Body();
        return body.status();
      },
      [&](size_t i, const Body& body) {
        if (!body) return Status::Ok();
        size_t used = 0;
        Result<LogHeader> header = ParseLogHeader(AsBytes(*body), &used);
        if (header.ok()) SeeEpoch(header->epoch, rest);
        Result<LogObject> object = ParseLogObject(AsBytes(*body), numbers[i]);
        if (object.ok()) SeeObject(*object, rest);
        return Status::Ok();
      });
}

}  // namespace

Result<LogRest> RestOfLog(const ReplicaReader& reader, const Catalogue& catalogue) {
  LogRest rest;
  SeeSnapshots(catalogue, &rest);
  BACKSTAY_TRY(SeePacks(reader, catalogue, &rest));
  BACKSTAY_TRY(SeeSingles(reader, catalogue, &rest));
  return rest;
}

}  // namespace backstay
