// Selection: which databases the configuration names, before the engine checks it in full.
//
// Made once when the shim enters a process (environment and JSON file are read then), constant
// after that; any thread. A JSON file that cannot be read or parsed selects everything, so that the
// engine's open() is asked and reports what is wrong. May throw std::bad_alloc; callers stop it.

#ifndef BACKSTAY_VFS_SELECTION_H_
#define BACKSTAY_VFS_SELECTION_H_

#include <string>
#include <vector>

namespace backstay {

struct SelectionOptions {
  std::string pattern;           // path or glob; relative to the working folder
  bool every_database = false;   // a replica is set and no pattern: all databases
  std::string config;            // JSON file; empty: none
  bool config_required = false;  // the file was named, so that its absence is an error
};

// BACKSTAY_DB, BACKSTAY_REPLICA_URL, BACKSTAY_CONFIG, /etc/backstay.json. Without BACKSTAY_DB the
// replica URL stands for every database only if `every_database`: a preloaded library also sees the
// private databases of runtimes and tools.
SelectionOptions SelectionFromEnvironment(bool every_database);

class Selection {
 public:
  explicit Selection(const SelectionOptions& options);

  // `path`: absolute path of a main database that exists.
  bool Selects(const std::string& path) const;
  // The JSON file is unreadable or no valid JSON.
  bool broken() const { return broken_; }

 private:
  void ReadConfig(const SelectionOptions& options);

  std::vector<std::string> patterns_;  // absolute
  bool every_database_ = false;
  bool broken_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_SELECTION_H_
