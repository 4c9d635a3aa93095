// Configured: which databases the settings name, where none of them is on the disk yet.
//
// Main thread. A path names itself. Of a glob only the replicas know: the last part of its path is
// matched with the names that stand for {name} where its replicas lie, which are listed there.
// kInvalid, with the remedy: a wildcard in a folder, which no replica tells of; else the error of
// the replicas, of which one that answers is enough.

#ifndef BACKSTAY_TOOLS_CONFIGURED_H_
#define BACKSTAY_TOOLS_CONFIGURED_H_

#include <string>
#include <vector>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"

namespace backstay {

// Absolute paths, each once.
Result<std::vector<std::string>> ConfiguredDatabases(const Settings& settings);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_CONFIGURED_H_
