// StatusFile: status.json of a state folder, replaced whole, and without new space.
//
// A disk that is full is when somebody looks at the status. Two files take turns: the next text
// goes into the spare one, which holds its blocks and never gets shorter, and then the names are
// exchanged. Where the file system cannot exchange names, or another process is about to do the
// same, a new file is made and renamed.
//
// Used by one thread at a time. Fails like open(2) and write(2); the last text stays then.

#ifndef BACKSTAY_UPLOADER_STATE_STATUS_FILE_H_
#define BACKSTAY_UPLOADER_STATE_STATUS_FILE_H_

#include <string>

#include "uploader/base/status.h"

namespace backstay {

// `text` ends with a line feed, before which there may be blanks in the file.
Status WriteStatusFile(const std::string& folder, const std::string& text);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_STATUS_FILE_H_
