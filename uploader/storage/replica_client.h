// ReplicaClient: the bucket, reduced to what a replica needs. Keys are relative to the replica's
// prefix.
//
// Owned by one replica's shipper (engine/) or by a command of the tool; implementations may be
// called from several threads at once. Calls block, up to the implementation's time-outs; Cancel()
// makes every call in flight and every later one return kCancelled soon. One attempt per call:
// retrying is the caller's. Errors: kNotFound, kExists, kDenied, kUnavailable (retryable),
// kUnsupported, kInvalid, kCancelled; messages name the object and where it is. A PUT that returns
// kUnavailable may have been applied: settle it by reading the object back.

#ifndef BACKSTAY_UPLOADER_STORAGE_REPLICA_CLIENT_H_
#define BACKSTAY_UPLOADER_STORAGE_REPLICA_CLIENT_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "uploader/base/bytes.h"
#include "uploader/base/status.h"
#include "uploader/settings/settings.h"
#include "uploader/storage/request_counts.h"

namespace backstay {

struct ObjectInfo {
  std::string key;
  uint64_t size = 0;  // bytes
};

// What a call has brought of an object, also one that failed.
struct ObjectPart {
  std::string bytes = {};  // of one that failed: the beginning of what it asked for
  std::string etag = {};   // of the object that the bytes, or the answer, are of; empty: not known
};

struct GetOptions {
  // A range when length > 0; negative offset counts from the end of the object (suffix range). What
  // lies behind the end is left out.
  int64_t offset = 0;
  uint64_t length = 0;
  // A body larger than this is kInvalid, without having been buffered.
  uint64_t max_bytes = 1ULL << 30;
  // Of a range from an offset that is not negative: receives from where a call that failed can go
  // on. Null, or a client that cannot: nothing.
  ObjectPart* part = nullptr;
};

struct ListOptions {
  std::string prefix = {};       // keys that start with it
  std::string start_after = {};  // only keys greater than it; empty for all
  bool folders = false;  // names up to the next '/' after the prefix, each once, '/' included
  size_t most = 0;       // enough to be told of so many, whichever; 0: all
};

// What is said to people while a call waits: of a server that does not answer, or refuses this
// machine's time, and that it is over; `notes`: what is only good to know.
struct SilenceWords {
  std::function<void(const std::string& text)> begins = nullptr;
  std::function<void(const std::string& text)> ends = nullptr;
  std::function<void(const std::string& text)> notes = nullptr;
};

// Counted by the client, read by status; per process.
struct ClientCounters {
  uint64_t requests = 0;
  uint64_t bytes_sent = 0;  // bodies only
  uint64_t bytes_received = 0;
  std::vector<RequestCount> by_kind = {};  // of those that are over
};

class ReplicaClient {
 public:
  virtual ~ReplicaClient() = default;

  // For people: "s3://bucket/prefix" or "file:///dir"; never a secret.
  virtual std::string Describe() const = 0;
  // The same with the server, where there is one.
  virtual std::string Place() const { return Describe(); }
  // Where nothing was found: Ok if the place itself is there, an error that says what is missing.
  virtual Status ProvePlace() { return Status::Ok(); }
  // Tells the file system of the place from another one at the same path; empty: it is on none.
  virtual std::string PlaceMark() const { return {}; }
  // To ask whether an object is there takes no request to anybody.
  virtual bool LooksAreFree() const { return false; }
  // Replaces an existing object.
  virtual Status Put(const std::string& key, Bytes body) = 0;
  // kExists if the key exists; kUnsupported if the store cannot do it atomically.
  virtual Status PutIfAbsent(const std::string& key, Bytes body) = 0;
  virtual Result<std::string> Get(const std::string& key, const GetOptions& options = {}) = 0;
  // Keys in ascending byte order. A replica that does not exist (a folder likewise) is an empty
  // list; a bucket that does not exist, what cannot be read, and an answer that does not fit the
  // question are errors, never kNotFound.
  virtual Result<std::vector<ObjectInfo>> List(const ListOptions& options) = 0;
  // Deleting what does not exist is Ok. Stops at the first error.
  virtual Status Delete(const std::vector<std::string>& keys) = 0;
  // Signs with the keys of these settings from the next request on; true: they are others than
  // those from before. kInvalid: they are none, and those from before are kept.
  virtual Result<bool> UseKeys(const ReplicaSettings&) { return false; }
  virtual void Cancel() = 0;
  // Delay in ms that the server asked for with its last 503 (Retry-After), 0 if none.
  virtual int64_t RetryAfterMs() const { return 0; }
  // 0: as far as the server goes, a call that failed may be tried again now; else ms after which to
  // ask again: all that it fails in this process take turns.
  virtual int64_t RetryTurnMs() { return 0; }
  // The last call was answered, be it by a refusal: somebody is there.
  virtual bool Reached() const { return true; }
  // Monotonic, when part of an object or list last came; 0: not known.
  virtual int64_t ReceivedMs() const { return 0; }
  // What a call waits for whose server has been silent for a while; empty: none does.
  virtual std::string Silence() { return {}; }
  virtual ClientCounters Counters() const = 0;
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_REPLICA_CLIENT_H_
