// The tail of an application that has ended: what it has committed and not shipped, because it was
// killed, or ended without its exit handlers.
//
// Main thread. Reads local files only; a database that no setting names has none.

#ifndef BACKSTAY_TOOLS_TAIL_H_
#define BACKSTAY_TOOLS_TAIL_H_

#include <cstdint>
#include <string>
#include <vector>

#include "uploader/settings/settings.h"

namespace backstay {

// The settings name databases, or a glob: without a name the preload library selects none.
bool NamesDatabases(const Settings& settings);
// Those that they select and that are there: absolute paths.
std::vector<std::string> SelectedDatabases(const Settings& settings);
// Of these the ones of which not everything is known to be in every replica.
std::vector<std::string> DatabasesWithTail(const Settings& settings);
// The database or its WAL was written to later than `ms` since 1970.
bool IsWrittenSince(const std::string& database, int64_t ms);
// The last process that shipped it has ended, and everything was in every replica.
bool IsShipped(const std::string& database);
// What that process said of replicas to which nothing is shipped before somebody acts: "s3://… : a
// newer writer owns …", one after the other. Empty: of none.
std::string StoppedReplicas(const std::string& database);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_TAIL_H_
