// Ranges of an object: how they are asked for, and whether what came back is what was asked for.
//
// Pure functions, any thread; called by s3_client for every GET. Another part of the object, an
// object that is cut off, and a success that holds none are kUnavailable.

#ifndef BACKSTAY_UPLOADER_STORAGE_S3_RANGE_H_
#define BACKSTAY_UPLOADER_STORAGE_S3_RANGE_H_

#include <string>
#include <string_view>

#include "uploader/base/status.h"
#include "uploader/storage/http.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

// REQUIRES: a length.
std::string RangeHeader(const GetOptions& options);

// Of a GET that was answered by a success: it holds the object, or the range of it that was asked
// for, or all of an object of which a range was asked for.
Status HoldsObject(const GetOptions& options, const HttpResponse& response);

// Of a range that was answered by "there is no such range" (416): Ok if the object is that short.
Status EndsBefore(const GetOptions& options, const HttpResponse& response);

// Likewise, of the end of an object: it may be shorter than that, and not empty.
bool MayBeShorter(const GetOptions& options, const HttpResponse& response);

// A server that ignores the range sends all of the object.
// REQUIRES: HoldsObject().
void CutToRange(const GetOptions& options, HttpResponse* response);

// Without the quotes, and without the mark that something on the way makes it weak by.
std::string BareEtag(std::string_view etag);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_S3_RANGE_H_
