// MetricsFile: when what Prometheus's node_exporter reads of one database is written anew.
//
// Owned by Database, used with its status mutex held. Every 5 s while something changes, every 15 s
// while nothing does, so that an old file tells of a process that is gone, and at the end. Replaced
// whole, by a rename, and readable by everybody: it holds no secret. MetricsWriter does it, and
// tells what fails.

#ifndef BACKSTAY_UPLOADER_ENGINE_METRICS_FILE_H_
#define BACKSTAY_UPLOADER_ENGINE_METRICS_FILE_H_

#include <cstdint>
#include <optional>
#include <string>

#include "uploader/base/clock.h"
#include "uploader/engine/metrics_writer.h"

namespace backstay {

class MetricsFile {
 public:
  // `writer` null: there is none.
  MetricsFile(MetricsWriter* writer, std::string database, Clock* clock);

  // `changed`: the status is another one than at the last question. `last`: nothing comes after it.
  bool Due(bool changed, bool last);
  // `status` as status.json holds it.
  void Write(const std::string& status, bool up);

 private:
  MetricsWriter* const writer_;
  const std::string database_;
  Clock* const clock_;
  std::optional<int64_t> written_ms_;  // monotonic
  bool changed_ = false;               // since then
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_METRICS_FILE_H_
