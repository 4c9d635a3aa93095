// How replication of one database stands, as the process that ships it last wrote, judged by what
// holds at this moment.
//
// Main thread. Reads files of this machine alone, so it takes no longer than they do: a probe may
// ask. What cannot be told is part of the report.

#ifndef BACKSTAY_TOOLS_STATUS_REPORT_H_
#define BACKSTAY_TOOLS_STATUS_REPORT_H_

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace backstay {

// Beside kExitDone and kExitFailed; part of the interface.
enum StatusExit {
  kExitUnknown = 3,   // never opened with Backstay, or not since it was restored
  kExitRetrying = 5,  // the replica cannot be written; goes on by itself
  kExitStopped = 6,   // somebody has to look
  kExitNobody = 7,    // no process ships
  kExitLagging = 8,   // it replicates, but what waits has waited for longer than is wanted
};

struct ReportOptions {
  std::string config;                 // settings file; empty: as the settings say
  std::optional<int64_t> max_lag_ms;  // beyond it kExitLagging
};

// Moving JSON does not throw, whatever its assertions look like.
// NOLINTNEXTLINE(bugprone-exception-escape)
struct StatusReport {
  nlohmann::ordered_json status;  // an object with at least db and state, unless it failed
  std::string trouble;            // for people; empty: none
  int exit_code = 0;

  bool failed() const { return status.is_null(); }
  // A process with Backstay has the database, and responds.
  bool up() const;
};

StatusReport ReportOn(const std::string& database, const ReportOptions& options);
// The one of two exit codes that is worse: about which somebody should hear first.
int Worse(int one, int other);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_STATUS_REPORT_H_
