// Selection: which databases the configuration names, before the engine checks it in full.
//
// Made once when the shim enters a process (environment and JSON file are read then), constant
// after that; any thread. A JSON file that cannot be read or parsed selects everything, so that the
// engine's open() is asked and reports what is wrong. May throw std::bad_alloc; callers stop it.

#ifndef BACKSTAY_VFS_SELECTION_H_
#define BACKSTAY_VFS_SELECTION_H_

#include <string>
#include <vector>

#include "vfs/own_log.h"

namespace backstay {

struct SelectionOptions {
  std::string pattern;           // path or glob; relative to the working folder
  bool preloaded = false;        // by the preload library, not as an extension
  bool replica_set = false;      // a replica for every database that is selected
  std::string config;            // JSON file; empty: none
  bool config_required = false;  // the file was named, so that its absence is an error
  OwnLogOptions log;             // comes before the JSON file's
};

// BACKSTAY_DB, BACKSTAY_REPLICA_URL, BACKSTAY_CONFIG, /etc/backstay.json. Without BACKSTAY_DB the
// replica URL stands for every database unless the shim was preloaded: then it also sees the
// private databases of runtimes and tools.
SelectionOptions SelectionFromEnvironment(bool preloaded);

class Selection {
 public:
  explicit Selection(const SelectionOptions& options);

  // `path`: absolute path of a main database that exists.
  bool Selects(const std::string& path) const;
  // Why no file that is there now would be selected, and what to do; empty if one would be.
  std::string WhyNothing() const;
  // Nothing at all says that this program is to be replicated.
  bool unset() const { return unset_; }
  // Which of the paths that are named, globs aside, no file is at; empty: none.
  std::string Missing() const;
  // The JSON file is unreadable or no valid JSON.
  bool broken() const { return broken_; }
  const OwnLogOptions& log() const { return log_; }

 private:
  struct Pattern {
    std::string path;     // absolute
    const char* setting;  // that gave it
  };

  void ReadConfig(const SelectionOptions& options);

  OwnLogOptions log_;
  const bool every_database_;
  const char* const unset_reason_;
  bool unset_ = false;
  std::vector<Pattern> patterns_;
  bool broken_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_SELECTION_H_
