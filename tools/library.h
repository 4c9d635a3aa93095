// Where the libraries of Backstay are: beside this program, as in a build folder, or installed.
//
// Main thread; nothing is loaded. kInvalid: it is not there or cannot be used; the message names
// the file and the remedy.

#ifndef BACKSTAY_TOOLS_LIBRARY_H_
#define BACKSTAY_TOOLS_LIBRARY_H_

#include <string>

#include "uploader/base/status.h"

namespace backstay {

// `name`: "backstay.so", say. `given`: where it is, from the option `option`; empty: to be found.
// Absolute and behind symbolic links.
Result<std::string> FindLibrary(const std::string& name, const std::string& given,
                                const std::string& option);
// The engine, which `library` will look for, lies beside it.
Status CheckEngine(const std::string& library);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_LIBRARY_H_
