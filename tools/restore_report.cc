#include "tools/restore_report.h"

#include <cstdio>

#include "tools/command.h"
#include "tools/json_output.h"
#include "uploader/base/clock.h"

namespace backstay {
namespace {

using Kind = RestoreTarget::Kind;

Json ToJson(const RestoreRequest& request, const Restored& restored) {
  const RestorePlan& plan = restored.plan;
  const bool dry_run = request.flags.dry_run;
  const bool timed = request.target.kind == Kind::kTime;
  return {{"restored", !dry_run},
          {"reason", dry_run ? Json("-dry-run") : Json()},
          {"dry_run", dry_run},
          {"copy", request.flags.copy},
          {"output", request.output},
          {"replica", restored.replica},
          {"database_id", FormatDatabaseId(plan.identity.id)},
          {"asked_time", timed ? JsonTime(request.target.time_ms) : Json()},
          {"asked_local_time", JsonText(request.local_time)},
          {"txid", plan.txid},
          {"time", JsonTime(plan.time_ms)},
          {"latest", plan.at_end},
          {"page_size", plan.snapshot.page_size},
          {"snapshot_number", plan.snapshot.next_log_number},
          {"snapshot_txid", plan.snapshot.consistent_txid},
          {"snapshot_objects", plan.snapshot.frame_bytes.size()},
          {"snapshot_bytes", plan.SnapshotBytes()},
          {"log_objects", plan.entries.size()},
          {"log_bytes", plan.LogBytes()},
          {"requests", restored.requests},
          {"warnings", plan.Told()}};
}

// "1 object", "2 objects"
std::string Count(uint64_t number, const char* what) {
  return std::to_string(number) + " " + what + (number == 1 ? "" : "s");
}

void Print(const RestoreRequest& request, const Restored& restored) {
  const RestorePlan& plan = restored.plan;
  std::string line = request.flags.dry_run ? "would restore " : "restored ";
  line += request.output + " from " + restored.replica + ": transaction " +
          std::to_string(plan.txid) + " of " + FormatRfc3339(plan.time_ms);
  if (request.target.kind == Kind::kTime) {
    line += ", the last one up to " + FormatRfc3339(request.target.time_ms) + " (" +
            request.local_time + ")";
  }
  line += " (snapshot " + FormatBytes(plan.SnapshotBytes()) + " in " +
          Count(plan.snapshot.frame_bytes.size(), "object") + ", log " +
          FormatBytes(plan.LogBytes()) + " in " + Count(plan.entries.size(), "object") + ", " +
          FormatBytes(plan.SnapshotBytes() + plan.LogBytes()) + " in all, " +
          Count(restored.requests, "request") + ")";
  printf("%s\n", line.c_str());
  if (request.flags.copy) printf("it is a copy: it does not go on with the replica\n");
}

}  // namespace

void ReportNothing(const RestoreRequest& request, const std::string& why) {
  if (request.flags.json) {
    PrintJson({{"restored", false}, {"reason", why}, {"output", request.output}});
  } else {
    PrintLine(Level::kInfo, "nothing restored: " + why);
  }
}

void ReportRestored(const RestoreRequest& request, const Restored& restored) {
  if (request.flags.json) return PrintJson(ToJson(request, restored));
  Print(request, restored);
}

}  // namespace backstay
