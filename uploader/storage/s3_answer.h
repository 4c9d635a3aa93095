// Whether what came back is the answer of an S3 server to the request that was sent.
//
// Pure functions, any thread; called by s3_client for every answer, before it is believed. What
// something on the way has put in the answer's place, or has changed, is kUnavailable: nothing is
// told of the replica by it, least of all that there is nothing.

#ifndef BACKSTAY_UPLOADER_STORAGE_S3_ANSWER_H_
#define BACKSTAY_UPLOADER_STORAGE_S3_ANSWER_H_

#include <string>

#include "uploader/base/status.h"
#include "uploader/storage/http.h"
#include "uploader/storage/s3_xml.h"

namespace backstay {

// A web page, or a body that is compressed, are none. `response`: whole, or what came of one that
// was cut off. No object that is stored through Backstay begins like a web page; the inside of one
// may, as a part (206).
Status IsOfS3(const HttpResponse& response);

// The error that some servers put into a success; its code is empty where there is none. Likewise
// no object begins like one.
S3ErrorBody ErrorInside(const HttpResponse& response);

// Of the server's log; empty: it gives none.
std::string RequestIdOf(const HttpResponse& response);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_S3_ANSWER_H_
