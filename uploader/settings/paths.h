// Paths of databases, as settings name them: globs, folders, symbolic links.
//
// Called by the parsers of this folder. Any thread, no state; asks the file system what a path is.
// Errors are kInvalid and name the key.

#ifndef BACKSTAY_UPLOADER_SETTINGS_PATHS_H_
#define BACKSTAY_UPLOADER_SETTINGS_PATHS_H_

#include <string>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"

namespace backstay {

bool IsGlob(const std::string& pattern);
// "/a//b/../c" -> "/a/c"
std::string NormalPath(const std::string& path);
// `path` is absolute and normal. An empty pattern matches all; "/**/" is any number of folders.
// As the shim's Selection does.
bool SelectsPath(const std::string& pattern, const std::string& path);
// They select the same, whatever lies there.
bool SamePattern(const std::string& one, const std::string& other);
// Checks `path`, or makes it of folder and pattern.
Status FinishFolder(DatabaseSettings* database);
// What `{name}` stands for: the file's name, or its path below `folder` if it lies there.
std::string NameOfDatabase(const std::string& folder, const std::string& path);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_PATHS_H_
