// Replica destinations: what makes one valid, as a URL or as keys of the JSON file.
//
// Called by the parsers of this folder (ParseReplicaUrl is in settings.h). Any thread, no state.
// Errors are kInvalid and never quote what stands where people put credentials by mistake.

#ifndef BACKSTAY_UPLOADER_SETTINGS_REPLICA_URL_H_
#define BACKSTAY_UPLOADER_SETTINGS_REPLICA_URL_H_

#include <string>

#include "uploader/base/status.h"
#include "uploader/settings/settings.h"

namespace backstay {

// Sets a missing type, brings path and endpoint into their one form and checks every part. `{name}`
// may still stand in bucket and path.
Status FinishReplica(ReplicaSettings* replica);
// Replaces `{name}` in bucket and path, and checks the result.
Status ExpandName(const std::string& name, ReplicaSettings* replica);
bool HasNamePlaceholder(const ReplicaSettings& replica);
// An endpoint without a scheme is https, on this machine http.
std::string WithScheme(const std::string& endpoint);
// A custom endpoint is addressed by path unless the configuration says otherwise: a store on a
// bare host or an IP address has no bucket host names.
void ChoosePathStyle(ReplicaSettings* replica);
// "type, bucket, path, endpoint": equal for two replicas that would share one log.
std::string Location(const ReplicaSettings& replica);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_SETTINGS_REPLICA_URL_H_
