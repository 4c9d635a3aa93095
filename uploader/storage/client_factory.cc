#include "uploader/storage/client_factory.h"

#include <utility>

#include "uploader/storage/file_client.h"
#include "uploader/storage/s3_client.h"

namespace backstay {

Result<std::unique_ptr<ReplicaClient>> MakeReplicaClient(
    const ReplicaSettings& settings, std::function<void(const std::string& text)> on_silence) {
  if (settings.type == "s3") {
    return S3ReplicaClient::Make({.replica = settings, .on_silence = std::move(on_silence)});
  }
  if (settings.type == "file") return FileReplicaClient::Make(settings.path);
  return Status(Code::kInvalid,
                "replica type `" + settings.type + "` is not known: write `s3` or `file`");
}

}  // namespace backstay
