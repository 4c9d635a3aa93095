// What the chain of credentials sees inside a process: the environment as the settings were read
// from it, files, servers, programs.
//
// Owned by SharedCredentials; any thread, each of which has its own connections one at a time.
// Cancel() ends every call in flight and every later one with kCancelled.

#ifndef BACKSTAY_UPLOADER_STORAGE_CREDENTIAL_WORLD_H_
#define BACKSTAY_UPLOADER_STORAGE_CREDENTIAL_WORLD_H_

#include <atomic>

#include "uploader/settings/settings.h"
#include "uploader/storage/credentials.h"
#include "uploader/storage/http.h"

namespace backstay {

class CredentialCalls {
 public:
  explicit CredentialCalls(const std::string& ca_file);

  Result<HttpResponse> Send(const HttpRequest& request, Reach reach);
  Result<std::string> Run(const std::vector<std::string>& environment, const std::string& command);
  void Cancel();

 private:
  std::atomic<bool> cancelled_{false};
  CurlTransport near_;
  CurlTransport far_;
};

// `calls` must outlive it.
CredentialWorld WorldOf(const ReplicaSettings& replica, Clock* clock, CredentialCalls* calls);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_CREDENTIAL_WORLD_H_
