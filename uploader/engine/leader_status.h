// LeaderStatus: what the process that ships a database has last written about it in status.json.
//
// For the status of the processes that do not ship. Any thread. A file that is missing, damaged or
// of another replica says nothing. Throws std::bad_alloc alone.

#ifndef BACKSTAY_UPLOADER_ENGINE_LEADER_STATUS_H_
#define BACKSTAY_UPLOADER_ENGINE_LEADER_STATUS_H_

#include <cstdint>
#include <optional>
#include <string>

namespace backstay {

struct LeaderStatus {
  int64_t pid = 0;
  int64_t written_ms = 0;  // wall clock
  std::optional<int64_t> lag_ms;
  std::optional<int64_t> lag_transactions;
  bool failing = false;  // it cannot ship, or has stopped

  // Of this replica, by its name; nothing when the file does not tell.
  static std::optional<LeaderStatus> Read(const std::string& folder, const std::string& replica);
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_LEADER_STATUS_H_
