// RequestCounts: how many requests of each kind a replica's client has sent, and how they were
// answered.
//
// Owned by a ReplicaClient; any thread. A request counts when it is over. What was cancelled is not
// counted. Throws std::bad_alloc alone, and has counted nothing then.

#ifndef BACKSTAY_UPLOADER_STORAGE_REQUEST_COUNTS_H_
#define BACKSTAY_UPLOADER_STORAGE_REQUEST_COUNTS_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "uploader/base/status.h"

namespace backstay {

// As they are paid for: PUT, COPY and POST alike; of DeleteObjects one for up to 1000 keys.
enum class RequestKind { kPut, kGet, kList, kDelete };

// "put", "get", "list", "delete"
const char* NameOf(RequestKind kind);

struct RequestCount {
  RequestKind kind;
  int code = 0;  // HTTP status; 0: no answer came
  uint64_t requests = 0;
};

class RequestCounts {
 public:
  void Add(RequestKind kind, int code);
  // Of a store that is no server: the status with which one would have answered.
  void Add(RequestKind kind, const Status& outcome);
  // In order of kind and code; each that was counted.
  std::vector<RequestCount> All() const;
  // Of one kind, whatever the answer.
  uint64_t Of(RequestKind kind) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<RequestKind, int>, uint64_t> counts_;  // guarded by mutex_
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_REQUEST_COUNTS_H_
