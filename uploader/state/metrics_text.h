// The status as Prometheus reads it: one text of what status.json says.
//
// Called by the engine for its metrics file, by `backstay status -prometheus` and by tests; any
// thread. Pure, total: what it does not know is left out. Times are seconds since 1970, so that a
// text that grew old does not lie. Throws std::bad_alloc alone.

#ifndef BACKSTAY_UPLOADER_STATE_METRICS_TEXT_H_
#define BACKSTAY_UPLOADER_STATE_METRICS_TEXT_H_

#include <string>
#include <vector>

namespace backstay {

struct DatabaseStatus {
  std::string json;  // as status.json holds it
  bool up = false;   // a process with Backstay has the database, and responds
};

// Each family of metrics once, with the samples of all databases.
std::string MetricsText(const std::vector<DatabaseStatus>& databases);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_METRICS_TEXT_H_
