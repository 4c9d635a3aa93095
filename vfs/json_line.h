// JsonLine(): a JSON object of texts in one line.
//
// For log lines and the status of a shim without an engine. No nlohmann object in between: those
// allocate in their destructors, which ends the process when memory has run out. Any thread; throws
// std::bad_alloc alone.

#ifndef BACKSTAY_VFS_JSON_LINE_H_
#define BACKSTAY_VFS_JSON_LINE_H_

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace backstay {

// Members in their order, those with an empty text left out; bytes that are not UTF-8 are replaced.
std::string JsonLine(std::initializer_list<std::pair<const char*, std::string_view>> members);

}  // namespace backstay

#endif  // BACKSTAY_VFS_JSON_LINE_H_
