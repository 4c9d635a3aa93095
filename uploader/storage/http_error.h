// HttpFailure: why a request got no answer, as a status that names the remedy.
//
// Called by CurlTransport; any thread, no state. What another URL or other certificates alone can
// mend is kInvalid, all else kUnavailable and worth another try.

#ifndef BACKSTAY_UPLOADER_STORAGE_HTTP_ERROR_H_
#define BACKSTAY_UPLOADER_STORAGE_HTTP_ERROR_H_

#include <curl/curl.h>

#include <string>

#include "uploader/base/status.h"

namespace backstay {

// `text`: curl's own words: host names and system errors, never a header. `https`: the URL's
// scheme. `answered`: a part of an answer had come.
Status HttpFailure(CURLcode code, const std::string& text, bool https, bool answered);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_HTTP_ERROR_H_
