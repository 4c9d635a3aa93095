// ConfigFile: what the shim needs of the JSON file before there is an engine.
//
// Read once, as the shim comes in. Any thread. What is wrong in the file is the engine's to report:
// it reads all of it, and by the same rules. No tree is built: see json_line.h. May throw
// std::bad_alloc.

#ifndef BACKSTAY_VFS_CONFIG_FILE_H_
#define BACKSTAY_VFS_CONFIG_FILE_H_

#include <string>
#include <vector>

#include "vfs/own_log.h"

namespace backstay {

struct ConfigFile {
  // dbs[].path, or what dir and pattern stand for; variables expanded
  std::vector<std::string> paths;
  OwnLogOptions log;
  bool others = false;  // there are keys besides "dbs" and "logging"

  // False: the file cannot be read, is no valid JSON or of another shape, or a path cannot be
  // known.
  bool Read(const std::string& name);
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_CONFIG_FILE_H_
