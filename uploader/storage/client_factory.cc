#include "uploader/storage/client_factory.h"

#include <utility>

#include "uploader/storage/file_client.h"
#include "uploader/storage/s3_client.h"

namespace backstay {

Result<std::unique_ptr<ReplicaClient>> MakeReplicaClient(const ReplicaSettings& settings,
                                                         ClientOptions options) {
  if (settings.type == "s3") {
    return S3ReplicaClient::Make({.replica = settings,
                                  .patience_ms = options.patience_ms,
                                  .silence = std::move(options.silence),
                                  .retries = std::move(options.retries)});
  }
  if (settings.type == "file") return FileReplicaClient::Make(settings.path);
  return Status(Code::kInvalid,
                "replica type `" + settings.type + "` is not known: write `s3` or `file`");
}

}  // namespace backstay
