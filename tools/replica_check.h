// CheckReplica(): tries out, step by step, everything that replication needs of one replica.
//
// Main thread, before it has any other. Writes one object, "check-<random>", and deletes it, also
// when it is interrupted; only a store that does not allow that keeps it, and then the step says
// its name. Nothing of the replica itself is read or changed. Each step that fails says why, and
// the remedy; those that rest on it are left out.

#ifndef BACKSTAY_TOOLS_REPLICA_CHECK_H_
#define BACKSTAY_TOOLS_REPLICA_CHECK_H_

#include <cstdint>
#include <string>
#include <vector>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"

namespace backstay {

enum class CheckResult { kOk, kWarning, kFailed, kSkipped };

struct CheckStep {
  const char* name;
  CheckResult result = CheckResult::kSkipped;
  std::string text = {};  // what was found, or what is wrong and the remedy
  Status error = {};      // of a failed one
};

struct ReplicaChecked {
  std::string replica;  // "s3://bucket/app"
  std::string place;    // the same with the server
  std::vector<CheckStep> steps;
  bool interrupted = false;  // by a signal: what it had not come to is skipped
};

struct CheckOptions {
  int64_t patience_ms = 0;
  bool deletes = true;  // retention is on
};

ReplicaChecked CheckReplica(const ReplicaSettings& replica, const CheckOptions& options);

// "ok", "warning", "failed" or "skipped"
const char* NameOf(CheckResult result);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_REPLICA_CHECK_H_
