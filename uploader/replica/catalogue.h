// Catalogue: what a replica holds, from LIST and its small objects.
//
// Read by the tool's commands and by engine/, one thread; a value afterwards. LoadCatalogue fails
// with kNotFound when it is proven that there is nothing (absence.h), kCorrupt when the replica's
// objects are there but no readable identity, kForeign when only others are, and with the client's
// error when anything could not be read: that is never "missing". Where the list shows no snapshot,
// what may be there is asked for by name: a list may be late.

#ifndef BACKSTAY_UPLOADER_REPLICA_CATALOGUE_H_
#define BACKSTAY_UPLOADER_REPLICA_CATALOGUE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "uploader/base/status.h"
#include "uploader/format/keys.h"
#include "uploader/format/snapshot.h"
#include "uploader/replica/reader.h"

namespace backstay {

struct PackName {
  uint64_t first = 0;
  uint64_t last = 0;
  uint64_t size = 0;  // bytes
  std::string key() const { return PackKey(first, last); }
};

struct DamagedSnapshot {
  uint64_t number = 0;
  Status status;
};

struct Catalogue {
  Identity identity;
  std::map<uint64_t, uint64_t> singles;            // number under log/ -> size in bytes
  std::vector<PackName> packs;                     // ascending by first, then last
  std::vector<SnapshotManifest> snapshots;         // finished ones, ascending by next_log_number
  std::vector<DamagedSnapshot> damaged_snapshots;  // a manifest that cannot be used
  std::vector<uint64_t> unfinished_snapshots;      // numbers of folders without a manifest

  // The writer's first snapshot may still be to be finished: the log goes back to its beginning,
  // and there is nothing to restore yet. FirstSnapshotUnfinished() (absence.h) tells for certain.
  bool NothingToRestoreYet() const;
  // The last number of a log that is whole from 1 on, 0 for an empty one; nullopt behind a gap.
  std::optional<uint64_t> WholeFromBeginning() const;
};

// Told the finished snapshots, ascending, as soon as they are known: what else there is, is still
// being read. On a thread of the call; not at all where they are not found by the list.
using SnapshotsSeen = std::function<void(const std::vector<SnapshotManifest>& snapshots)>;

// `threads`: manifests read at a time.
Result<Catalogue> LoadCatalogue(const ReplicaReader& reader, size_t threads,
                                const SnapshotsSeen& seen = nullptr);

// Of all that a replica holds, the names of the packs alone.
Status ListPacks(const ReplicaReader& reader, Catalogue* catalogue);

// How often a moving replica is looked at again: packing and retention run hours apart.
constexpr int kMaxLooks = 4;

// What was listed is gone by now, or could not be reached: a new listing may do.
inline bool ListingIsStale(const Status& status) {
  return status.code() == Code::kUnavailable && status.retryable();
}

// What `look` (Catalogue&& -> Result<T>) makes of the replica, listed anew while it is moving.
template <typename Look, typename Seen = std::invoke_result_t<Look, Catalogue&&>>
Seen LookAtReplica(const ReplicaReader& reader, size_t threads, const Look& look,
                   const SnapshotsSeen& snapshots = nullptr) {
  for (int looks = 1;; ++looks) {
    Result<Catalogue> catalogue = LoadCatalogue(reader, threads, snapshots);
    Seen seen = catalogue.ok() ? look(std::move(*catalogue)) : Seen(catalogue.status());
    if (seen.ok() || looks == kMaxLooks || !ListingIsStale(seen.status())) return seen;
  }
}

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_CATALOGUE_H_
