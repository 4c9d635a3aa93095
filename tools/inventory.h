// Inventory: what one replica holds, and which states it can give back, without reading the bodies
// of packs.
//
// Taken by `list`, on the main thread; reads overlap on threads of the call. Fails as LoadCatalogue
// does; damage is no error but part of the value.

#ifndef BACKSTAY_TOOLS_INVENTORY_H_
#define BACKSTAY_TOOLS_INVENTORY_H_

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "uploader/replica/restore_plan.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

// A state that can be restored.
struct StatePoint {
  uint64_t txid = 0;
  int64_t time_ms = 0;
};

// A writer that took the log over.
struct TakeoverMark {
  uint64_t number = 0;  // log number
  uint64_t epoch = 0;
  StatePoint at;  // the last transaction before it, and when it was
};

// Restore points without a break between them: from one snapshot to the end of its log.
struct Range {
  SnapshotManifest from;
  std::optional<StatePoint> last;  // none: not even the snapshot can be restored
  uint64_t end = 0;                // log number
  uint64_t objects = 0;            // of the log
  uint64_t bytes = 0;
  std::string damage;  // that ends it; empty: none

  StatePoint first() const { return {from.consistent_txid, from.consistent_time_ms}; }
};

struct PackSummary {
  PackName name;
  std::optional<StatePoint> first;  // of its transactions, where the log leads through it
  std::optional<StatePoint> last;
};

struct ObjectTotal {
  uint64_t objects = 0;
  uint64_t bytes = 0;
};

struct ObjectTotals {
  ObjectTotal log, pack, snapshot, other;
  ObjectTotal all() const;
};

// Which restore points are to be told one by one.
struct PointsWanted {
  size_t most = 0;  // the newest of them; 0: none
  int64_t since_ms = 0;
  int64_t until_ms = std::numeric_limits<int64_t>::max();
};

struct Inventory {
  Identity identity;
  std::vector<SnapshotManifest> snapshots;
  std::vector<DamagedSnapshot> damaged_snapshots;
  std::vector<uint64_t> unfinished_snapshots;
  std::vector<Range> ranges;
  std::vector<PackSummary> packs;
  std::vector<TakeoverMark> takeovers;  // within the ranges
  ObjectTotals totals;
  std::vector<StatePoint> points;  // as wanted, in order
  bool points_left_out = false;    // older ones, since there were too many

  bool damaged() const;
  // The newest state needs nothing that is damaged.
  bool sound_at_end() const;
  const Range* newest() const;  // that holds a state; null: nothing can be restored
};

uint64_t SnapshotBytes(const SnapshotManifest& manifest);
Result<Inventory> TakeInventory(const ReplicaReader& reader, const PointsWanted& wanted);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_INVENTORY_H_
