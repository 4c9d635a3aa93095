// Database, the part that takes up settings that were read anew while it is open.

#include <string>
#include <utility>

#include "uploader/engine/configuration.h"
#include "uploader/engine/database.h"

namespace backstay {

// A replica is known by what it is called: another one in its place waits for the next start, and
// so do its keys.
void Database::TakeUp(const Settings& settings) {
  Result<DatabaseSettings> fresh = options_.choose(settings);
  if (!fresh.ok()) {
    options_.logger->Log(Level::kWarn,
                         "the configuration has changed and does not fit this database, which is "
                         "replicated as before until the application ends: " +
                             fresh.status().message(),
                         {{"db", path()}});
    return;
  }
  const std::string restart = NeedRestart(newest_, *fresh);
  if (!restart.empty()) {
    options_.logger->Log(
        Level::kWarn,
        "the configuration has changed: " + restart + " take effect with the next start",
        {{"db", path()}});
  }
  for (size_t i = 0; i < pipelines_.size(); ++i) {
    const ReplicaSettings& opened = options_.settings.replicas[i];
    for (const ReplicaSettings& replica : fresh->replicas) {
      if (replica.Describe() != opened.Describe() || replica.endpoint != opened.endpoint) continue;
      pipelines_[i]->TakeUp(*fresh, replica);
    }
  }
  newest_ = std::move(*fresh);
}

}  // namespace backstay
