// The ReplicaClient that a replica's settings ask for: a folder or a bucket.
//
// Called by the engine and the tool, any thread; the caller owns the client. Nothing is contacted
// here. kInvalid names the setting that is missing or wrong, and the remedy.

#ifndef BACKSTAY_UPLOADER_STORAGE_CLIENT_FACTORY_H_
#define BACKSTAY_UPLOADER_STORAGE_CLIENT_FACTORY_H_

#include <cstdint>
#include <memory>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

class RetryBuckets;

struct ClientOptions {
  SilenceWords silence = {};
  int64_t patience_ms = 0;  // no wait for the server is longer without progress; 0: 30 s
  std::shared_ptr<RetryBuckets> retries = nullptr;  // shared by all clients of whoever makes them
};

Result<std::unique_ptr<ReplicaClient>> MakeReplicaClient(const ReplicaSettings& settings,
                                                         ClientOptions options = {});

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_CLIENT_FACTORY_H_
