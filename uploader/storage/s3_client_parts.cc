// S3ReplicaClient, the part that puts a large object in parts.

#include <algorithm>
#include <string>
#include <vector>

#include "uploader/storage/s3_client.h"
#include "uploader/storage/s3_list.h"

namespace backstay {
namespace {

constexpr uint64_t kMaxParts = 10000;  // S3's limit

}  // namespace

Status S3ReplicaClient::PutInParts(const std::string& key, Bytes body) {
  Request start{.method = "POST", .key = key, .query = {{"uploads", ""}}};
  Result<HttpResponse> started = Call(start);
  if (!started.ok()) return NeverNotFound("a POST", started.status());
  Result<std::string> upload_id = ParseS3UploadId(started->body);
  if (!upload_id.ok()) return upload_id.status().Wrap(Describe(start).what);
  Result<std::vector<std::string>> etags = PutParts(key, *upload_id, body);
  Status done = etags.ok() ? CompleteUpload(key, *upload_id, *etags) : etags.status();
  if (!done.ok()) {
    // The first error is the one that matters; parts that stay behind only cost.
    (void)Call({.method = "DELETE", .key = key, .query = {{"uploadId", *upload_id}}}).status();
  }
  return done;
}

Result<std::vector<std::string>> S3ReplicaClient::PutParts(const std::string& key,
                                                           const std::string& upload_id,
                                                           Bytes body) {
  uint64_t size = std::max(options_.part_size, (body.size() + kMaxParts - 1) / kMaxParts);
  std::vector<std::string> etags;
  for (uint64_t at = 0; at < body.size(); at += size) {
    Request part{
        .method = "PUT",
        .key = key,
        .query = {{"partNumber", std::to_string(etags.size() + 1)}, {"uploadId", upload_id}},
        .body = body.subspan(at, std::min<uint64_t>(size, body.size() - at))};
    Result<HttpResponse> response = Call(part);
    if (!response.ok()) return response.status();
    etags.push_back(response->Header("etag"));
    if (etags.back().empty()) {
      return Status(Code::kUnavailable,
                    Describe(part).what + ": answered without an ETag; parts cannot be joined",
                    true);
    }
  }
  return etags;
}

Status S3ReplicaClient::CompleteUpload(const std::string& key, const std::string& upload_id,
                                       const std::vector<std::string>& etags) {
  std::string body = S3CompleteBody(etags);
  Request request{
      .method = "POST", .key = key, .query = {{"uploadId", upload_id}}, .body = AsBytes(body)};
  request.trickles = true;
  return Call(request).status();
}

}  // namespace backstay
