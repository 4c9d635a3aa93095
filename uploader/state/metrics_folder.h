// The folder from which node_exporter's textfile collector reads: one file of metrics for each
// subject.
//
// Called by the engine and the tool; any thread, one at a time for a file.

#ifndef BACKSTAY_UPLOADER_STATE_METRICS_FOLDER_H_
#define BACKSTAY_UPLOADER_STATE_METRICS_FOLDER_H_

#include <string>

#include "uploader/base/status.h"

namespace backstay {

// "backstay-app.db-0123456789abcdef.prom": of one subject, a path or URL, always the same, of two
// never. `kind` comes first.
std::string MetricsFileName(const std::string& kind, const std::string& subject);

// Replaces it whole, readable by everybody. Fails like open(2), write(2) and rename(2); then the
// last text stays.
Status ReplaceMetricsFile(const std::string& folder, const std::string& name,
                          const std::string& text);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_METRICS_FOLDER_H_
