// Bucket: the objects of a replica, in memory, with the faults of a network and a store by seed.
//
// The simulation has one, which its processes inherit; what they put and delete goes into the
// journal, from where the others and the simulation take it over. One thread at a time
// (scheduler.h); outside a simulated process without faults and without time.

#ifndef BACKSTAY_TESTS_SIM_BUCKET_H_
#define BACKSTAY_TESTS_SIM_BUCKET_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/sim/world.h"
#include "uploader/storage/replica_client.h"

namespace backstay::sim {

using Objects = std::map<std::string, std::shared_ptr<const std::string>>;

// Drawn for each world and process, per mille.
struct BucketFaults {
  uint64_t refused = 0;      // 503, nothing done
  uint64_t lost_answer = 0;  // done, and the answer lost
  uint64_t outage = 0;       // begins one of some seconds
  uint64_t late_list = 0;    // without what came in the last two seconds
  int64_t latency_ms = 0;    // most of it
  bool conditions = true;    // PutIfAbsent is possible
};

class Bucket : public ReplicaClient {
 public:
  Bucket(Objects* objects, const BucketFaults& faults, uint64_t seed)
      : objects_(objects), faults_(faults), random_(seed) {}

  std::string Describe() const override { return "file:///simulated"; }
  Status Put(const std::string& key, Bytes body) override;
  Status PutIfAbsent(const std::string& key, Bytes body) override;
  Result<std::string> Get(const std::string& key, const GetOptions& options) override;
  Result<std::vector<ObjectInfo>> List(const ListOptions& options) override;
  Status Delete(const std::vector<std::string>& keys) override;
  void Cancel() override { cancelled_ = true; }
  bool Reached() const override { return reached_; }
  ClientCounters Counters() const override { return counters_; }

 private:
  // The way there: time, and whether the request arrives.
  Status Arrives(const char* what, const std::string& key);
  // The way back.
  Status Returns(const char* what, const std::string& key);
  Status Failed(const char* what, const char* how, const std::string& key);
  void Store(const std::string& key, Bytes body);
  // What the processes have put and deleted.
  void TakeUp();

  Objects* const objects_;
  const BucketFaults faults_;
  Random random_;
  int64_t outage_until_ns_ = 0;
  bool cancelled_ = false;
  bool reached_ = true;
  ClientCounters counters_;
};

// What MakeReplicaClient() gives in this process; it is made of these.
// `journal`: so far the objects have followed it.
void UseBucket(Objects* objects, int64_t journal, const BucketFaults& faults, uint64_t seed);

}  // namespace backstay::sim

#endif  // BACKSTAY_TESTS_SIM_BUCKET_H_
