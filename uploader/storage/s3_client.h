// S3ReplicaClient: a replica in a bucket of S3 or of a server that speaks its protocol.
//
// Owned and called as replica_client.h says. Every request is signed (V4) with the hash of its
// body. Objects up to the multipart threshold, and everything written with PutIfAbsent, go as one
// PUT (Ceph ignores the condition when a multipart upload completes); larger ones in parts, which
// are abandoned by name if one fails. A cancelled multipart upload cannot be abandoned any more: a
// bucket rule (AbortIncompleteMultipartUpload) removes what it left. Deletes go in batches of 1000,
// or one by one for a server that has no DeleteObjects. Messages name the endpoint, bucket and key,
// never a secret or a signed header.

#ifndef BACKSTAY_UPLOADER_STORAGE_S3_CLIENT_H_
#define BACKSTAY_UPLOADER_STORAGE_S3_CLIENT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "uploader/base/clock.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/bucket_place.h"
#include "uploader/storage/http.h"
#include "uploader/storage/object_headers.h"
#include "uploader/storage/replica_client.h"
#include "uploader/storage/retry_bucket.h"
#include "uploader/storage/s3_endpoint.h"
#include "uploader/storage/s3_error.h"
#include "uploader/storage/s3_xml.h"
#include "uploader/storage/server_clock.h"
#include "uploader/storage/server_silence.h"
#include "uploader/storage/shared_credentials.h"
#include "uploader/storage/sigv4.h"

namespace backstay {

struct S3ClientOptions {
  ReplicaSettings replica;                             // type s3, with credentials
  std::unique_ptr<HttpTransport> transport = nullptr;  // null: CurlTransport
  int64_t patience_ms = 0;                             // bounds its waits; 0: as usual
  Clock* clock = RealClock();
  uint64_t multipart_threshold = 16 << 20;                 // bytes
  uint64_t part_size = 8 << 20;                            // bytes; S3 wants at least 5 MiB
  SilenceWords silence = {};                               // on the thread of the call
  std::shared_ptr<const CredentialWorld> world = nullptr;  // as SharedCredentials takes it
  std::shared_ptr<RetryBuckets> retries = nullptr;         // null: of its own
};

class S3ReplicaClient : public ReplicaClient {
 public:
  // kInvalid if the settings name no bucket, no credentials or no proper endpoint.
  static Result<std::unique_ptr<ReplicaClient>> Make(S3ClientOptions options);

  std::string Describe() const override;
  std::string Place() const override;
  Status Put(const std::string& key, Bytes body) override;
  Status PutIfAbsent(const std::string& key, Bytes body) override;
  Result<std::string> Get(const std::string& key, const GetOptions& options) override;
  Result<std::vector<ObjectInfo>> List(const ListOptions& options) override;
  Status Delete(const std::vector<std::string>& keys) override;
  Result<bool> UseKeys(const ReplicaSettings& replica) override {
    return credentials_.Set(replica);
  }
  void Cancel() override;
  int64_t RetryAfterMs() const override { return retry_after_ms_; }
  int64_t RetryTurnMs() override { return retry_bucket_->Take(); }
  bool Reached() const override { return reached_; }
  int64_t ReceivedMs() const override { return received_ms_; }
  std::string Silence() override { return silence_.Text(); }
  ClientCounters Counters() const override;

 private:
  struct Request {
    std::string method;
    std::string key = {};  // full; empty for the bucket
    sigv4::Pairs query = {};
    sigv4::Pairs headers = {};
    Bytes body = {};
    uint64_t max_response = 16 << 20;
    bool resend = true;
    bool trickles = false;
    HttpResponse* partial = nullptr;  // as HttpRequest's
  };

  S3ReplicaClient(S3ClientOptions options, S3Endpoint endpoint, ObjectHeaders objects);

  std::string FullKey(const std::string& key) const;
  S3Call Describe(const Request& request) const;
  HttpRequest Signed(const Request& request, const BucketPlace& place,
                     const sigv4::Credentials& keys) const;
  // Any answer.
  Result<HttpResponse> Answer(const Request& request);
  // One sending, counted.
  Result<HttpResponse> Ask(const Request& request, const BucketPlace& place);
  // Sends it, and notes how it gets on.
  Result<HttpResponse> Send(const Request& request, const BucketPlace& place);
  // A 2xx answer, or the error.
  Result<HttpResponse> Call(const Request& request);
  Result<HttpResponse> Success(const Request& request, Result<HttpResponse> response) const;

  Result<std::string> GetShort(const std::string& key, const GetOptions& options);

  Status PutInParts(const std::string& key, Bytes body);
  Result<std::vector<std::string>> PutParts(const std::string& key, const std::string& upload_id,
                                            Bytes body);
  Status CompleteUpload(const std::string& key, const std::string& upload_id,
                        const std::vector<std::string>& etags);

  Result<S3ListPage> ListPage(const ListOptions& options, const std::string& token);
  // What belongs to the list, with keys relative to the replica, in order.
  std::vector<ObjectInfo> Relative(const ListOptions& options,
                                   const std::vector<ObjectInfo>& listed) const;

  Status DeleteOne(const std::string& full_key);
  // REQUIRES: at most 1000 keys, all of which fit in XML.
  Status DeleteBatch(const std::vector<std::string>& full_keys);

  const S3ClientOptions options_;
  const ObjectHeaders objects_;
  KnownPlace place_;
  SharedCredentials credentials_;
  const std::string prefix_;  // "" or "path/"
  const std::shared_ptr<RetryBucket> retry_bucket_;
  std::atomic<bool> no_batch_delete_{false};
  std::atomic<int64_t> retry_after_ms_{0};
  std::atomic<bool> reached_{true};
  std::atomic<int64_t> received_ms_{0};  // monotonic
  ServerClock server_clock_;
  ServerSilence silence_;
  std::atomic<uint64_t> requests_{0};
  RequestCounts counts_;
  std::atomic<uint64_t> bytes_sent_{0};
  std::atomic<uint64_t> bytes_received_{0};
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_S3_CLIENT_H_
