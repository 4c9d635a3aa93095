// ObjectHeaders: what the settings of the objects add to a request: storage class, encryption,
// tags, who pays.
//
// Owned by S3ReplicaClient, constant, any thread. A key of the operator's (SSE-C) goes with what
// writes or reads an object, and is a secret. kUnsupported: a security policy forbids the MD5 that
// S3 wants of it.

#ifndef BACKSTAY_UPLOADER_STORAGE_OBJECT_HEADERS_H_
#define BACKSTAY_UPLOADER_STORAGE_OBJECT_HEADERS_H_

#include <string>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/sigv4.h"

namespace backstay {

class ObjectHeaders {
 public:
  static Result<ObjectHeaders> Make(const ObjectSettings& objects);

  // Of a request with this method and query for an object, or for the bucket where the key is
  // empty.
  void AddTo(const std::string& method, const std::string& key, const sigv4::Pairs& query,
             sigv4::Pairs* headers) const;

 private:
  sigv4::Pairs made_;     // what makes an object
  sigv4::Pairs content_;  // what carries its content, to the server or from it
  sigv4::Pairs everything_;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_OBJECT_HEADERS_H_
