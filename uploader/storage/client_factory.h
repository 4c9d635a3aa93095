// The ReplicaClient that a replica's settings ask for: a folder or a bucket.
//
// Called by the engine and the tool, any thread; the caller owns the client. Nothing is contacted
// here. kInvalid names the setting that is missing or wrong, and the remedy. `on_silence` is told
// of a server that does not answer, while the client waits, at most every 30 s.

#ifndef BACKSTAY_UPLOADER_STORAGE_CLIENT_FACTORY_H_
#define BACKSTAY_UPLOADER_STORAGE_CLIENT_FACTORY_H_

#include <functional>
#include <memory>
#include <string>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

Result<std::unique_ptr<ReplicaClient>> MakeReplicaClient(
    const ReplicaSettings& settings,
    std::function<void(const std::string& text)> on_silence = nullptr);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_CLIENT_FACTORY_H_
