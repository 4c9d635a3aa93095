// RestoreRequest: what the command line of `backstay restore` asks for, bound to its options and
// read into values.
//
// Main thread. Read() fails with kInvalid, which names the option and the remedy.

#ifndef BACKSTAY_TOOLS_RESTORE_REQUEST_H_
#define BACKSTAY_TOOLS_RESTORE_REQUEST_H_

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "tools/arguments.h"
#include "tools/integrity.h"
#include "tools/source.h"
#include "tools/target_file.h"
#include "uploader/replica/restore.h"

namespace backstay {

// As typed.
struct RestoreFlags {
  std::string from;  // DB or URL
  std::string output;
  SourceOptions source;
  std::optional<std::string> timestamp;
  std::optional<uint64_t> txid;
  bool if_db_not_exists = false;
  bool if_replica_exists = false;
  bool force = false;
  bool copy = false;
  bool follow = false;
  std::optional<std::string> follow_interval;
  bool dry_run = false;
  bool json = false;
  std::string mode;
  std::string integrity = "none";
  size_t parallelism = 64;

  void Bind(Arguments* app);
};

// As meant.
struct RestoreRequest {
  RestoreFlags flags;
  RestoreTarget target;
  std::string output;        // absolute path
  TargetFile::Options file;  // how it is made
  IntegrityCheck integrity = IntegrityCheck::kNone;
  int64_t follow_interval_ms = 0;

  // What -timestamp was understood as, in local time: "2026-11-26 14:05:00 CET".
  std::string local_time;

  // Of the plan and its replay, without anybody who is told.
  RestoreOptions Options() const;
};

Result<RestoreRequest> ReadRequest(const RestoreFlags& flags);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_RESTORE_REQUEST_H_
