// KnownPlace: where the requests to a bucket go and the region they are signed for: as the settings
// say, put right by the server, which says that the bucket is in another region or at another host.
//
// Owned by S3ReplicaClient; any thread. What is learned holds for this client and is noted once; a
// temporary redirect holds for its request. Nothing that is signed goes to a host that is neither
// the endpoint's nor its provider's, nor from TLS to plain HTTP: that is kInvalid, and names the
// host.

#ifndef BACKSTAY_UPLOADER_STORAGE_BUCKET_PLACE_H_
#define BACKSTAY_UPLOADER_STORAGE_BUCKET_PLACE_H_

#include <functional>
#include <mutex>
#include <string>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/http.h"
#include "uploader/storage/s3_endpoint.h"

namespace backstay {

struct BucketPlace {
  S3Endpoint endpoint;
  std::string region;
};

class KnownPlace {
 public:
  using Note = std::function<void(const std::string& text)>;

  KnownPlace(const ReplicaSettings& replica, S3Endpoint endpoint, Note note);

  BucketPlace Now() const;
  // `answer`: to a request for `key` (full; empty: for the bucket) that went to `*place`. True: it
  // says where the bucket is instead, which `*place` is now; nothing was done. False: it does not.
  Result<bool> Follows(const HttpResponse& answer, const std::string& key, BucketPlace* place);

 private:
  bool TakeRegion(const std::string& region, BucketPlace* place);
  Result<bool> TakeHost(const std::string& url, const std::string* key, bool lasts,
                        BucketPlace* place);
  S3Endpoint EndpointIn(const std::string& region) const;
  void SayLocked(const std::string& text);

  const ReplicaSettings replica_;
  const Note note_;
  mutable std::mutex mutex_;
  BucketPlace now_;    // guarded by mutex_
  bool said_ = false;  // likewise
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_BUCKET_PLACE_H_
