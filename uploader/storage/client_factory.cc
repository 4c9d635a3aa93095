#include "uploader/storage/client_factory.h"

#include <atomic>
#include <string>
#include <utility>

#include "uploader/base/caught.h"
#include "uploader/storage/file_client.h"
#include "uploader/storage/s3_client.h"

namespace backstay {
namespace {

void TellOfSkipVerify(const ReplicaSettings& settings, const ClientOptions& options) {
  static std::atomic<bool> told{false};
  if (!settings.skip_verify || settings.endpoint.starts_with("http://")) return;
  if (!options.silence.begins || told.exchange(true)) return;
  (void)Caught([&] {
    options.silence.begins(
        "skip-verify is set: any TLS certificate is accepted, so that whoever stands on the way "
        "can read and change what is replicated; name the server's CA in ca-file in place of it");
    return Status::Ok();
  });
}

}  // namespace

Result<std::unique_ptr<ReplicaClient>> MakeReplicaClient(const ReplicaSettings& settings,
                                                         ClientOptions options) {
  if (settings.type == "s3") {
    TellOfSkipVerify(settings, options);
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
