// FileReplicaClient: a replica in a folder of a mounted file system.
//
// Owned and called as replica_client.h says; several clients, processes and hosts may use one
// folder. A key is a path below the root; an object appears whole or not at all: it is written to a
// temporary file ".backstay-tmp-…" in its folder, fsynced, then renamed (Put) or linked
// (PutIfAbsent), and the folder is fsynced. What a crashed writer leaves has that name, is never
// listed and may be removed by hand. Folders are made when needed, the root included, and removed
// when a Delete empties them. Files are 0600 and folders 0700: they hold the database's content.
// Errors: kDenied for rights, kInvalid for keys that are no path below the root, kUnavailable for
// everything that may pass (disk full, a network mount that is away).
//
// A file system that is unmounted leaves the folder below it: once the root was seen, nothing is
// written to one on another file system, nor is it made where ProvePlace() says no, until an object
// of the replica was read there.

#ifndef BACKSTAY_UPLOADER_STORAGE_FILE_CLIENT_H_
#define BACKSTAY_UPLOADER_STORAGE_FILE_CLIENT_H_

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "uploader/base/file.h"
#include "uploader/base/url_text.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

class FileReplicaClient : public ReplicaClient {
 public:
  // `root` is an absolute path; it need not exist.
  static Result<std::unique_ptr<ReplicaClient>> Make(const std::string& root);

  std::string Describe() const override { return "file://" + UrlText(root_); }
  // The folder is there, or a folder with something in it where it would be made: the place of a
  // file system that is not mounted is empty, or not there.
  Status ProvePlace() override;
  std::string PlaceMark() const override;
  bool LooksAreFree() const override { return true; }
  Status Put(const std::string& key, Bytes body) override;
  Status PutIfAbsent(const std::string& key, Bytes body) override;
  Result<std::string> Get(const std::string& key, const GetOptions& options) override;
  // Symbolic links below the root are not followed.
  Result<std::vector<ObjectInfo>> List(const ListOptions& options) override;
  Status Delete(const std::vector<std::string>& keys) override;
  void Cancel() override { cancelled_ = true; }
  ClientCounters Counters() const override;

 private:
  enum class Mode { kReplace, kCreateOnly };

  explicit FileReplicaClient(std::string root) : root_(std::move(root)) {}

  // Counts the call; kCancelled, or kInvalid for a key that is no path below the root.
  Status Begin(const std::string& key);
  Status Write(const std::string& key, Bytes body, Mode mode);
  Result<std::string> Read(const std::string& key, const GetOptions& options);
  Result<std::vector<ObjectInfo>> Find(const ListOptions& options);
  Status Remove(const std::string& key);
  // Notes on which file system the root is.
  void Seen();
  // Appends what `options` selects below root_/`folder` ("" or "a/b/"), in any order.
  Status Walk(const std::string& folder, const ListOptions& options, std::vector<ObjectInfo>* out);
  // Removes the folders of the object `path` that are empty, below the root.
  void RemoveEmptyFolders(const std::string& path);

  const std::string root_;
  std::atomic<uint64_t> device_{0};  // of the root, where it was last seen; 0: never
  std::atomic<bool> cancelled_{false};
  std::atomic<uint64_t> requests_{0};
  RequestCounts counts_;
  std::atomic<uint64_t> bytes_sent_{0};
  std::atomic<uint64_t> bytes_received_{0};
};

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STORAGE_FILE_CLIENT_H_
