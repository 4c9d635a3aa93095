// RunQuietly(): a command run beside an application that takes no notice of it.
//
// Any thread, which waits until it is over. The command is the child of a process in between that
// is the application's without being waited for: it raises no SIGCHLD, wait(-1) does not see it
// (only __WCLONE and __WALL do), its exit status is nobody else's. No handler of the application
// runs in either, no descriptor of it is open in them, no memory is copied, no fork handler called.
// What is written to standard error is dropped. kUnavailable: it failed, or took too long and was
// killed with all that it started; kCancelled.

#ifndef BACKSTAY_UPLOADER_STORAGE_QUIET_CHILD_H_
#define BACKSTAY_UPLOADER_STORAGE_QUIET_CHILD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "uploader/base/status.h"

namespace backstay {

struct QuietCommand {
  std::string command;                   // for /bin/sh -c
  std::vector<std::string> environment;  // NAME=value
  int64_t limit_ms = 30000;
  size_t most = 64 << 10;  // bytes of its standard output; more are an error
};

// What it wrote to its standard output, when it ended with exit status 0.
Result<std::string> RunQuietly(const QuietCommand& what, const std::atomic<bool>& cancelled);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_QUIET_CHILD_H_
