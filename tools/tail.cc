#include "tools/tail.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "tools/databases.h"
#include "uploader/base/file.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxStatusBytes = 16 << 20;
constexpr int64_t kNsPerMs = 1000000;

// Not the WAL beside it, which the same pattern may name. One whose application was killed in its
// first moments has no state folder yet.
bool IsDatabase(const std::string& path) {
  constexpr std::string_view kHeader("SQLite format 3\0", 16);
  if (StampOf(path).size <= 0) return false;
  if (access(StateFolderOf(path).c_str(), F_OK) == 0) return true;
  Result<Fd> file = OpenFile(path, O_RDONLY);
  std::array<uint8_t, kHeader.size()> header{};
  return file.ok() && ReadAt(*file, header.data(), header.size(), 0).ok() &&
         std::equal(header.begin(), header.end(), kHeader.begin(),
                    [](uint8_t a, char b) { return a == static_cast<uint8_t>(b); });
}

Json StatusOf(const std::string& database) {
  Result<std::string> text = ReadFile(StateFolderOf(database) + "/status.json", kMaxStatusBytes);
  return text.ok() ? Json::parse(*text, nullptr, /*allow_exceptions=*/false) : Json();
}

}  // namespace

bool IsWrittenSince(const std::string& database, int64_t ms) {
  const auto later = [ms](const FileStamp& stamp) {
    return stamp.size > 0 && stamp.mtime_ns >= (ms + 1) * kNsPerMs;
  };
  return later(StampOf(database)) || later(StampOf(database + "-wal"));
}

bool NamesDatabases(const Settings& settings) {
  return std::any_of(settings.rules.begin(), settings.rules.end(),
                     [](const DatabaseRule& rule) { return !rule.pattern.empty(); });
}

std::vector<std::string> SelectedDatabases(const Settings& settings) {
  std::vector<std::string> databases;
  for (const DatabaseRule& rule : settings.rules) {
    if (rule.pattern.empty()) continue;
    const Result<std::vector<std::string>> found = DatabasesOf(rule.pattern, "");
    if (!found.ok()) continue;  // nothing that it names is there
    for (const std::string& path : *found) {
      const bool known = std::find(databases.begin(), databases.end(), path) != databases.end();
      if (!known && IsDatabase(path)) databases.push_back(path);
    }
  }
  return databases;
}

std::vector<std::string> DatabasesWithTail(const Settings& settings) {
  std::vector<std::string> databases = SelectedDatabases(settings);
  std::erase_if(databases, IsShipped);
  return databases;
}

std::string StoppedReplicas(const std::string& database) {
  const Json status = StatusOf(database);
  if (!status.is_object()) return "";
  std::string stopped;
  for (const Json& replica : status.value("replicas", Json::array())) {
    if (!replica.is_object()) continue;
    const Json state = replica.value("state", Json());
    const Json error = replica.value("error", Json());
    if ((state != "fenced" && state != "error") || !error.is_string()) continue;
    stopped += (stopped.empty() ? "" : "; ") + replica.value("replica", "");
    stopped += ": " + error.get<std::string>();
  }
  return stopped;
}

bool IsShipped(const std::string& database) {
  const Json status = StatusOf(database);
  if (!status.is_object() || status.value("ended", Json()) != true) return false;
  const Json written = status.value("written_ms", Json());
  if (!written.is_number_integer() || IsWrittenSince(database, written)) return false;
  const Json replicas = status.value("replicas", Json::array());
  return std::all_of(replicas.begin(), replicas.end(), [](const Json& replica) {
    return replica.is_object() && replica.value("lag_transactions", Json()) == 0;
  });
}

}  // namespace backstay
