// Whether a page of a server's list answers the question that was put to it.
//
// Pure functions, any thread; called by the S3 client for every page. A list that does not fit its
// question is kUnavailable, never a shorter list: what it leaves out would look as if
// it did not exist.

#ifndef BACKSTAY_UPLOADER_STORAGE_S3_LIST_H_
#define BACKSTAY_UPLOADER_STORAGE_S3_LIST_H_

#include <string>
#include <vector>

#include "uploader/base/status.h"
#include "uploader/storage/replica_client.h"
#include "uploader/storage/s3_xml.h"

namespace backstay {

struct S3ListQuestion {
  std::string prefix;    // full, as asked
  bool folders = false;  // with the delimiter "/"
};

// Adds what the page names, by full keys: its folders when they were asked for, else its objects.
Status TakeListPage(const S3ListQuestion& question, S3ListPage page, std::vector<ObjectInfo>* out);

// A list, and what creates or deletes, are never `not found`: of one that was answered with 404 the
// bucket is not where the request went. Other answers are passed on.
Status NeverNotFound(const char* call, const Status& answer);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_S3_LIST_H_
