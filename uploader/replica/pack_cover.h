// PackCover: which pack serves which log numbers.
//
// Belongs to one PlanLog call, one thread. Packs may overlap (a crash between the PUT of a pack
// and the deletes; two packers): of those that cover a number, the one that reaches furthest is
// taken, then the one that begins first. A pack whose index is damaged is left aside and
// remembered. Fails with kNewer or the client's error; kUnavailable when a pack has vanished.

#ifndef BACKSTAY_UPLOADER_REPLICA_PACK_COVER_H_
#define BACKSTAY_UPLOADER_REPLICA_PACK_COVER_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "uploader/format/pack.h"
#include "uploader/replica/catalogue.h"
#include "uploader/replica/reader.h"

namespace backstay {

struct LoadedPack {
  PackName name;
  std::vector<PackedObject> objects;  // numbers name.first to name.last
};

// The listing no longer holds what it showed: read the catalogue again.
Status StaleListing(const std::string& key);

// The index of one pack, checked against its name. A pack of another database than `id` is damage:
// a writer that did not know of it has put it there.
Result<std::vector<PackedObject>> LoadPackIndex(const ReplicaReader& reader, const PackName& pack,
                                                const DatabaseId& id);

class PackCover {
 public:
  PackCover(const ReplicaReader& reader, const Catalogue& catalogue)
      : reader_(reader), packs_(catalogue.packs), id_(catalogue.identity.id) {}

  // Loads those that reach beyond `number`, several at a time. What fails is told where it is
  // needed.
  Status Prepare(uint64_t number, size_t threads);
  // The pack to read `number` from; null when none covers it.
  Result<const LoadedPack*> At(uint64_t number);
  // Other packs that hold a number of `pack`, loaded.
  Result<std::vector<const LoadedPack*>> Others(const LoadedPack& pack);
  // The lowest first number above `number` of a usable pack, or UINT64_MAX.
  uint64_t NextAfter(uint64_t number) const;
  // What is wrong with a pack that covers `number`; Ok when there is none.
  Status ProblemAt(uint64_t number) const;

 private:
  // Null when the index is damaged.
  Result<const LoadedPack*> Load(const PackName& name);

  const ReplicaReader& reader_;
  const std::vector<PackName>& packs_;
  const DatabaseId id_;
  std::map<std::string, LoadedPack> loaded_;
  std::map<std::string, Status> damaged_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_PACK_COVER_H_
