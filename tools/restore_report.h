// What `backstay restore` says of its outcome: one line for people, or one JSON object.
//
// Main thread; stdout for what was asked for, stderr for what goes beside it.

#ifndef BACKSTAY_TOOLS_RESTORE_REPORT_H_
#define BACKSTAY_TOOLS_RESTORE_REPORT_H_

#include <cstdint>
#include <string>

#include "tools/restore_request.h"
#include "uploader/replica/restore_plan.h"

namespace backstay {

// What was, or with -dry-run would be, restored.
struct Restored {
  const RestorePlan& plan;
  std::string replica;    // where it was read
  uint64_t requests = 0;  // that it takes in all
};
void ReportRestored(const RestoreRequest& request, const Restored& restored);
void ReportNothing(const RestoreRequest& request, const std::string& why);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_RESTORE_REPORT_H_
