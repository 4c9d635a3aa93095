// What the last verification said, as Prometheus reads it: a file in the folder of metrics-dir.
//
// Main thread, at the end of `backstay verify`. Fails like a write; the caller tells, and the
// verification keeps its outcome.

#ifndef BACKSTAY_TOOLS_VERIFY_METRICS_H_
#define BACKSTAY_TOOLS_VERIFY_METRICS_H_

#include <nlohmann/json.hpp>
#include <string>

#include "uploader/base/status.h"

namespace backstay {

// Which folder that is: the option, else the setting; empty: none.
std::string MetricsFolderOf(const std::string& option, const std::string& config);
// `from`: the database's path or the replica's URL, as it was verified. `replicas`: of each what
// Verification::ToJson() says.
Status WriteVerifyMetrics(const std::string& folder, const std::string& from,
                          const nlohmann::ordered_json& replicas);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_VERIFY_METRICS_H_
