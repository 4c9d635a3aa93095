#include "tools/restorable.h"

#include <utility>

#include "uploader/replica/absence.h"

namespace backstay {

Status CheckRestorable(const ReplicaReader& reader, const Catalogue& catalogue) {
  if (!catalogue.NothingToRestoreYet()) return Status::Ok();
  Result<bool> unfinished = FirstSnapshotUnfinished(reader, catalogue);
  if (!unfinished.ok()) return unfinished.status();
  if (*unfinished) {
    return {Code::kNotFound,
            reader.Describe() + ": nothing to restore yet: its first snapshot was never finished"};
  }
  return {Code::kCorrupt, reader.Describe() +
                              ": the log is there, but no snapshot to start from; undelete the "
                              "objects under snapshot/ (bucket versions), or use another replica"};
}

Result<Catalogue> LoadRestorable(const ReplicaReader& reader, size_t parallelism) {
  return LookAtReplica(reader, parallelism, [&](Catalogue&& seen) -> Result<Catalogue> {
    BACKSTAY_TRY(CheckRestorable(reader, seen));
    return std::move(seen);
  });
}

}  // namespace backstay
