// LogGap: objects that the log has lost behind a snapshot of its own, as far as names tell: a newer
// snapshot leads on, so that the newest state needs none of them, and nothing has to be done.
//
// Found for retention and for the packer, one thread. Reads only. Fails as PlanLog does.

#ifndef BACKSTAY_UPLOADER_REPLICA_LOG_GAP_H_
#define BACKSTAY_UPLOADER_REPLICA_LOG_GAP_H_

#include <cstdint>
#include <optional>
#include <string>

#include "uploader/replica/catalogue.h"
#include "uploader/replica/reader.h"

namespace backstay {

struct LogGap {
  uint64_t first = 0;  // log numbers
  uint64_t last = 0;
  std::optional<int64_t> from_ms;  // the last state before it; none: no snapshot leads there
  int64_t to_ms = 0;               // the first state behind it

  // "log/… to log/… are missing: the states between … and … cannot be restored, …"
  std::string Told() const;
};

// `number`: of an object that is missing. nullopt: no snapshot was made behind it.
Result<std::optional<LogGap>> LookAtGap(const ReplicaReader& reader, const Catalogue& catalogue,
                                        uint64_t number);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_REPLICA_LOG_GAP_H_
