// What the tests of replica/ share: a replica in a folder, restores into memory, a client that
// misbehaves on demand.
#ifndef BACKSTAY_TESTS_UNIT_REPLICA_SUPPORT_H_
#define BACKSTAY_TESTS_UNIT_REPLICA_SUPPORT_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/catch.h"
#include "tests/support/replica_builder.h"
#include "tests/support/temp_folder.h"
#include "uploader/replica/restore.h"
#include "uploader/storage/file_client.h"

namespace backstay {

// Passes everything on, unless a hook answers first. Hooks may be called from several threads.
class HookedClient : public ReplicaClient {
 public:
  explicit HookedClient(ReplicaClient* inner) : inner_(inner) {}

  std::function<Status(const std::string& key)> before_get;
  std::function<Status(const ListOptions& options)> before_list;
  std::function<void(std::vector<ObjectInfo>*)> after_list;

  std::string Describe() const override { return inner_->Describe(); }
  Status Put(const std::string& key, Bytes body) override { return inner_->Put(key, body); }
  Status PutIfAbsent(const std::string& key, Bytes body) override {
    return inner_->PutIfAbsent(key, body);
  }
  Result<std::string> Get(const std::string& key, const GetOptions& options) override {
    if (before_get) BACKSTAY_TRY(before_get(key));
    return inner_->Get(key, options);
  }
  Result<std::vector<ObjectInfo>> List(const ListOptions& options) override {
    if (before_list) BACKSTAY_TRY(before_list(options));
    Result<std::vector<ObjectInfo>> list = inner_->List(options);
    if (list.ok() && after_list) after_list(&*list);
    return list;
  }
  Status Delete(const std::vector<std::string>& keys) override { return inner_->Delete(keys); }
  void Cancel() override { inner_->Cancel(); }
  ClientCounters Counters() const override { return inner_->Counters(); }

 private:
  ReplicaClient* const inner_;
};

struct Folder {
  Folder() : client(std::move(*FileReplicaClient::Make(folder / "replica"))) {}
  std::string Path(const std::string& key) const { return folder / ("replica/" + key); }

  TempFolder folder;
  std::unique_ptr<ReplicaClient> client;
};

struct Restored {
  Status status;
  std::string database;
  RestoreOutcome outcome;
};

inline RestoreTarget Latest() { return {}; }
inline RestoreTarget AtTxid(uint64_t txid) { return {RestoreTarget::Kind::kTxid, txid, 0}; }
inline RestoreTarget AtTime(int64_t ms) { return {RestoreTarget::Kind::kTime, 0, ms}; }

inline Restored RestoreFrom(ReplicaClient* client, const RestoreTarget& target,
                            size_t parallelism = 2, uint64_t keep_bytes = 64 << 20,
                            uint64_t batch_bytes = 8 << 20) {
  RetryOptions retry;
  retry.sleep = [](int64_t) {};
  ReplicaReader reader(client, retry);
  RestoreOptions options;
  options.target = target;
  options.plan.log = {parallelism, keep_bytes};
  options.replay = {parallelism, batch_bytes};
  MemoryPageStore store;
  Result<RestoreOutcome> outcome = RestoreInto(reader, options, &store);
  Restored restored{outcome.status(), store.bytes(), {}};
  if (outcome.ok()) restored.outcome = std::move(*outcome);
  return restored;
}

// The restored database is the model's at the transaction that the restore says it is.
inline void CheckModel(const ReplicaBuilder& builder, const Restored& restored) {
  REQUIRE(restored.status.ToString() == "OK");
  const uint64_t txid = restored.outcome.plan.txid;
  const auto version = builder.versions().find(txid);
  REQUIRE(version != builder.versions().end());
  INFO("transaction " << txid);
  REQUIRE((restored.database == version->second.database));
  REQUIRE(restored.outcome.plan.time_ms == version->second.time_ms);
}

}  // namespace backstay

#endif  // BACKSTAY_TESTS_UNIT_REPLICA_SUPPORT_H_
