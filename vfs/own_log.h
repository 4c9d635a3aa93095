// OwnLog: log lines of the shim while there is no engine to write them.
//
// Where they go is read with the selection, from the environment and the JSON file: to a process
// whose standard error goes nowhere (php-fpm's workers) the log file is all there is. Any thread;
// a line that the file does not take goes to standard error. May throw std::bad_alloc.

#ifndef BACKSTAY_VFS_OWN_LOG_H_
#define BACKSTAY_VFS_OWN_LOG_H_

#include <string>
#include <string_view>

#include "uploader/log_file.h"

namespace backstay {

// As in the settings logging.level, .type and .file; empty: the default.
struct OwnLogOptions {
  std::string level, type, file;
};

class OwnLog {
 public:
  explicit OwnLog(OwnLogOptions options);

  // `level`: BackstayLevel. `path`: the database, or empty.
  void Write(int level, std::string_view path, std::string_view message);

 private:
  // `event`: as alerts find it, or empty.
  void WriteOf(int level, std::string_view path, std::string_view message, std::string_view event);

  const OwnLogOptions options_;
  const int lowest_;
  LogFile file_;
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_OWN_LOG_H_
