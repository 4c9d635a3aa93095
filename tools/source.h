// Where a command reads from: `DB|URL` on its command line, made into replicas.
//
// Main thread. A URL stands for itself; a database path is looked up in the settings (file and
// environment). Nothing is contacted. kInvalid, with the remedy, when nothing is configured. Of
// several replicas one that is silent has half of the patience, so that the next one is asked
// sooner.

#ifndef BACKSTAY_TOOLS_SOURCE_H_
#define BACKSTAY_TOOLS_SOURCE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tools/arguments.h"
#include "uploader/base/status.h"
#include "uploader/replica/reader.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

// The options of the commands that ask a replica.
struct SourceOptions {
  std::string config;
  std::string patience = "60s";
  void Bind(Arguments* app);
};

struct Source {
  std::string database;                                  // absolute path; empty for a URL
  std::vector<std::unique_ptr<ReplicaClient>> replicas;  // to be tried in this order
  int64_t retention_ms = 0;                              // as the settings say; 0: off
  RetryOptions retry;                                    // for reading them
};

bool IsUrl(const std::string& argument);
// Absolute, and behind symbolic links, as SQLite names it; the file need not be there.
std::string DatabasePath(const std::string& path);
// What OpenSource() opens.
Result<DatabaseSettings> SourceSettings(const std::string& argument, const SourceOptions& options,
                                        const std::string& name);
// `name` stands for {name} in a URL that has no database.
Result<Source> OpenSource(const std::string& argument, const SourceOptions& options,
                          const std::string& name);
// Every replica in the folders under this URL, which is none itself; those are looked for.
Result<Source> OpenSourcesUnder(const std::string& url, const SourceOptions& options);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_SOURCE_H_
