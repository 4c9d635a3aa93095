// A program that is to be started, and whether a preloaded library comes into it.
//
// Main thread. Nothing is run: files are looked at as the kernel and glibc's loader will. What a
// program starts in turn is not looked at, except what `env` starts for a script.
// kNotFound: no such program. kDenied: it may not be executed. kUnsupported, kCorrupt, kIo: the
// library would not come into it, or nobody can tell; the message names the file and the remedy.

#ifndef BACKSTAY_TOOLS_PROGRAM_H_
#define BACKSTAY_TOOLS_PROGRAM_H_

#include <string>

#include "tools/elf_file.h"
#include "uploader/base/status.h"

namespace backstay {

// The file that a shell would start: `name` itself if it has a slash, else the first in PATH.
Result<std::string> FindProgram(const std::string& name);
// `library` is the kind of the preloaded library.
Status CheckPreload(const std::string& path, const ElfKind& library);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_PROGRAM_H_
