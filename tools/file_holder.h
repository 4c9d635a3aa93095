// ProcessThatHolds: which other process has a file open, for a message to name it.
//
// Looks into /proc, as far as this user may; main thread.

#ifndef BACKSTAY_TOOLS_FILE_HOLDER_H_
#define BACKSTAY_TOOLS_FILE_HOLDER_H_

#include <string>

#include "uploader/base/file.h"

namespace backstay {

// The number of one; empty: none is seen.
std::string ProcessThatHolds(const Fd& file);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_FILE_HOLDER_H_
