// backstay list: which states a replica can give back, without reading the bodies of packs.

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <numeric>
#include <utility>

#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/source.h"
#include "uploader/base/clock.h"
#include "uploader/replica/restore_plan.h"

namespace backstay {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kParallelism = 8;

// Restore points without a break between them: from one snapshot to the end of its log.
struct Range {
  SnapshotManifest from;
  RestorePoint last;
  bool whole = false;  // `last` is valid
  uint64_t end = 0;    // log number
  uint64_t objects = 0;
  uint64_t bytes = 0;
  std::string damage;
};

struct Inventory {
  std::string replica;
  Catalogue catalogue;
  std::vector<Range> ranges;

  bool damaged() const {
    return !catalogue.damaged_snapshots.empty() ||
           std::any_of(ranges.begin(), ranges.end(),
                       [](const Range& range) { return !range.damage.empty(); });
  }
};

uint64_t SnapshotBytes(const SnapshotManifest& manifest) {
  return std::accumulate(manifest.frame_bytes.begin(), manifest.frame_bytes.end(), uint64_t{0});
}

Result<Range> MakeRange(const ReplicaReader& reader, const Catalogue& catalogue,
                        const SnapshotManifest& snapshot) {
  Result<LogPlan> whole = PlanLog(reader, catalogue, StartOf(snapshot), {kParallelism, 0});
  if (!whole.ok()) return whole.status();
  const LogPlan log = OfOneBase(std::move(*whole));
  Result<std::optional<RestorePoint>> last = FindPoint(reader, snapshot, log, {});
  if (!last.ok()) return last.status();
  Range range;
  range.from = snapshot;
  range.whole = last->has_value();
  if (range.whole) range.last = **last;
  range.end = log.next_number;
  range.objects = log.entries.size();
  for (const LogEntry& entry : log.entries) range.bytes += entry.bytes();
  if (log.damage) range.damage = log.damage->what;
  if (!range.whole && range.damage.empty())
    range.damage = "the log ends before the snapshot is whole";
  return range;
}

Result<Inventory> TakeInventory(const ReplicaReader& reader, Catalogue catalogue) {
  Inventory inventory{reader.Describe(), std::move(catalogue), {}};
  for (const SnapshotManifest& snapshot : inventory.catalogue.snapshots) {
    const bool covered =
        !inventory.ranges.empty() && snapshot.next_log_number <= inventory.ranges.back().end;
    if (covered && inventory.ranges.back().whole) continue;
    Result<Range> range = MakeRange(reader, inventory.catalogue, snapshot);
    if (!range.ok()) return range.status();
    inventory.ranges.push_back(std::move(*range));
  }
  return inventory;
}

Result<Inventory> Load(ReplicaClient* client, const RetryOptions& retry) {
  const ReplicaReader reader(client, retry);
  return LookAtReplica(reader, kParallelism, [&](Catalogue&& catalogue) {
    return TakeInventory(reader, std::move(catalogue));
  });
}

Json ToJson(const Inventory& inventory) {
  Json snapshots = Json::array();
  for (const SnapshotManifest& each : inventory.catalogue.snapshots) {
    snapshots.push_back({{"number", each.next_log_number},
                         {"txid", each.consistent_txid},
                         {"time", FormatRfc3339(each.consistent_time_ms)},
                         {"page-size", each.page_size},
                         {"pages", each.pages},
                         {"objects", each.frame_bytes.size()},
                         {"bytes", SnapshotBytes(each)}});
  }
  Json damaged = Json::array();
  for (const DamagedSnapshot& each : inventory.catalogue.damaged_snapshots) {
    damaged.push_back({{"number", each.number}, {"damage", each.status.message()}});
  }
  Json ranges = Json::array();
  for (const Range& each : inventory.ranges) {
    Json range{{"snapshot", each.from.next_log_number}};
    if (each.whole) {
      range["first-txid"] = each.from.consistent_txid;
      range["first-time"] = FormatRfc3339(each.from.consistent_time_ms);
      range["last-txid"] = each.last.txid;
      range["last-time"] = FormatRfc3339(each.last.time_ms);
    }
    range["log-objects"] = each.objects;
    range["log-bytes"] = each.bytes;
    range["damage"] = each.damage.empty() ? Json() : Json(each.damage);
    ranges.push_back(range);
  }
  return {{"replica", inventory.replica},
          {"database-id", FormatDatabaseId(inventory.catalogue.identity.id)},
          {"ranges", ranges},
          {"snapshots", snapshots},
          {"damaged-snapshots", damaged},
          {"unfinished-snapshots", inventory.catalogue.unfinished_snapshots.size()}};
}

void Print(const Inventory& inventory) {
  printf("%s\n", inventory.replica.c_str());
  for (const Range& each : inventory.ranges) {
    if (each.whole) {
      printf("  transactions %" PRIu64 " to %" PRIu64 ", %s to %s; log %s in %" PRIu64 " objects\n",
             each.from.consistent_txid, each.last.txid,
             FormatRfc3339(each.from.consistent_time_ms).c_str(),
             FormatRfc3339(each.last.time_ms).c_str(), FormatBytes(each.bytes).c_str(),
             each.objects);
    }
    if (!each.damage.empty()) printf("  DAMAGED: %s\n", each.damage.c_str());
  }
  for (const SnapshotManifest& each : inventory.catalogue.snapshots) {
    printf("  snapshot at transaction %" PRIu64 ", %s, %" PRIu32 " pages of %" PRIu32
           " bytes, %s in %zu objects\n",
           each.consistent_txid, FormatRfc3339(each.consistent_time_ms).c_str(), each.pages,
           each.page_size, FormatBytes(SnapshotBytes(each)).c_str(), each.frame_bytes.size());
  }
  for (const DamagedSnapshot& each : inventory.catalogue.damaged_snapshots) {
    printf("  DAMAGED: %s\n", each.status.message().c_str());
  }
}

// The worst of its replicas: an unreadable one before a damaged one before a missing one.
int ListAll(const Source& source, bool json) {
  int worst = kExitDone;
  auto rank = [](int code) { return code == kExitFailed ? 5 : code == kExitNothing ? 1 : code; };
  Json all = Json::array();
  for (const std::unique_ptr<ReplicaClient>& client : source.replicas) {
    Result<Inventory> inventory = Load(client.get(), source.retry);
    int code = ExitCodeOf(inventory.status());
    if (!inventory.ok()) {
      PrintError("list: " + inventory.status().message());
    } else {
      if (inventory->ranges.empty())
        PrintError("list: " + inventory->replica + ": no restore point");
      if (inventory->ranges.empty()) code = kExitNothing;
      if (inventory->damaged()) code = kExitDamaged;
      if (json) all.push_back(ToJson(*inventory));
      if (!json) Print(*inventory);
    }
    if (rank(code) > rank(worst)) worst = code;
  }
  if (json) printf("%s\n", Json{{"replicas", all}}.dump(2).c_str());
  return worst;
}

}  // namespace

int RunList(const std::vector<std::string>& arguments) {
  std::string from;
  SourceOptions options;
  bool json = false;
  Arguments app("list", "Lists what can be restored.");
  options.Bind(&app);
  app.Flag("--json", &json, "as JSON");
  app.Operand("from", &from, true, "DB|URL", "database path, or replica URL");
  int exit_code = kExitDone;
  if (!app.Parse(arguments, &exit_code)) return exit_code;
  Result<Source> source = OpenSource(from, options, "");
  if (!source.ok()) {
    PrintError("list: " + source.status().message());
    return ExitCodeOf(source.status());
  }
  return ListAll(*source, json);
}

}  // namespace backstay
