// FindReplicas: the replicas that lie in the folders under a place which is none itself.
//
// Main thread; one or two small requests for each folder that is looked into. Fails with the
// client's error.

#ifndef BACKSTAY_TOOLS_REPLICA_FINDER_H_
#define BACKSTAY_TOOLS_REPLICA_FINDER_H_

#include <string>
#include <vector>

#include "uploader/replica/reader.h"

namespace backstay {

// Relative to the reader's prefix, without a slash at the end, in order. A replica's own folders
// are not looked into, nor what lies deeper than kMaxFolderDepth.
constexpr int kMaxFolderDepth = 8;
Result<std::vector<std::string>> FindReplicas(const ReplicaReader& reader);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_REPLICA_FINDER_H_
