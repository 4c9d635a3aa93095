// MetricsWriter: writes the metrics files of this process, on a thread of its own: a folder on a
// network mount may hang, and holds up that thread alone.
//
// Owned by Engine. Put() on any thread: it never waits for the folder; where the last text of a
// database was not written yet, the new one takes its place. A folder that cannot be written, or
// does not answer, is a WARN; replication goes on.

#ifndef BACKSTAY_UPLOADER_ENGINE_METRICS_WRITER_H_
#define BACKSTAY_UPLOADER_ENGINE_METRICS_WRITER_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "uploader/base/clock.h"
#include "uploader/base/log.h"
#include "uploader/base/thread.h"
#include "uploader/state/metrics_folder.h"
#include "uploader/state/metrics_text.h"

namespace backstay {

struct MetricsWriterOptions {
  std::string folder;  // empty: nothing is written
  Logger* logger = nullptr;
  Clock* clock = nullptr;
  // May hang.
  std::function<Status(const std::string& folder, const std::string& name, const std::string& text)>
      write = ReplaceMetricsFile;
};

class MetricsWriter {
 public:
  explicit MetricsWriter(MetricsWriterOptions options);
  // Waits for what hangs: an engine is never destroyed.
  ~MetricsWriter();

  bool wanted() const { return !options_.folder.empty(); }
  // Without a thread, or behind Finish(), it is lost.
  void Put(const std::string& database, DatabaseStatus status);
  // Waits until all that was put is written, at most `ms`. False: it is not.
  bool Await(int64_t ms);
  // The same at process exit, but not at all where the folder has hung for longer. Ends the thread,
  // unless it hangs.
  void Finish(int64_t ms);

 private:
  void Run();
  bool IdleLocked() const { return !since_ms_ && waiting_.empty(); }
  // For how long the folder has not answered, ms.
  int64_t HangsLocked() const;
  void Write(const std::string& database, const DatabaseStatus& status);

  const MetricsWriterOptions options_;
  LastingProblem problem_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, DatabaseStatus> waiting_;  // by database; this and below: guarded by mutex_
  std::optional<int64_t> since_ms_;                // a write is under way; monotonic
  bool over_ = false;
  Thread thread_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_ENGINE_METRICS_WRITER_H_
