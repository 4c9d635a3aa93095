// File names as SQLite hands them to xOpen: the path, its NUL, then pairs "key NUL value NUL", then
// an empty key (sqlite.org/c3ref/uri_boolean.html).
//
// Pure functions, any thread. They may throw std::bad_alloc; callers stop it.

#ifndef BACKSTAY_VFS_FILE_NAME_H_
#define BACKSTAY_VFS_FILE_NAME_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace backstay {

using UriParameters = std::vector<std::pair<std::string, std::string>>;

// REQUIRES: zName came with SQLITE_OPEN_URI; other names need not be followed by anything.
UriParameters ReadUriParameters(const char* zName);
// Value of `key`, or NULL. The pointer lives as long as `parameters`.
const std::string* FindParameter(const UriParameters& parameters, std::string_view key);
// As sqlite3_uri_boolean(): yes, true, on or a number other than 0.
bool IsTrue(const UriParameters& parameters, std::string_view key);

// "x-wal" -> "x"; any other name -> "".
std::string DatabaseOfWal(const char* zName);

}  // namespace backstay

#endif  // BACKSTAY_VFS_FILE_NAME_H_
