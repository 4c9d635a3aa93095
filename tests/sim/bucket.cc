#include "tests/sim/bucket.h"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "tests/sim/scheduler.h"
#include "uploader/storage/client_factory.h"

namespace backstay {
namespace sim {
namespace {

constexpr int64_t kLateNs = 2000 * kNsPerMs;

struct Given {
  Objects* objects = nullptr;
  int64_t journal = 0;
  BucketFaults faults;
  uint64_t seed = 0;
  std::map<std::string, int64_t> since_ns;  // keys that were put meanwhile
} given;

}  // namespace

void UseBucket(Objects* objects, int64_t journal, const BucketFaults& faults, uint64_t seed) {
  given = {objects, journal, faults, seed, {}};
}

void Bucket::TakeUp() {
  for (Record record; ReadJournal(&given.journal, &record);) {
    if (record.kind == Kind::kDelete) objects_->erase(record.key);
    if (record.kind != Kind::kPut) continue;
    (*objects_)[record.key] = std::make_shared<const std::string>(std::move(record.value));
    given.since_ns[record.key] = world->now_ns;
  }
}

Status Bucket::Failed(const char* what, const char* how, const std::string& key) {
  Say("bucket: %s %s: %s", what, key.c_str(), how);
  return {Code::kUnavailable, std::string(how) + " (" + what + " " + key + ")", true};
}

Status Bucket::Arrives(const char* what, const std::string& key) {
  counters_.requests++;
  if (!Scheduled()) return Status::Ok();
  world->actions++;
  std::this_thread::sleep_for(std::chrono::milliseconds(random_.Between(0, faults_.latency_ms)));
  reached_ = true;
  if (cancelled_) return {Code::kCancelled, "cancelled"};
  if (random_.Chance(faults_.outage)) {
    outage_until_ns_ = world->now_ns + random_.Between(10, 20'000) * kNsPerMs;
  }
  if (world->now_ns < outage_until_ns_) {
    reached_ = false;
    return Failed(what, "outage", key);
  }
  if (random_.Chance(faults_.refused)) return Failed(what, "503", key);
  TakeUp();
  return Status::Ok();
}

Status Bucket::Returns(const char* what, const std::string& key) {
  if (!Scheduled()) return Status::Ok();
  std::this_thread::sleep_for(std::chrono::milliseconds(random_.Between(0, faults_.latency_ms)));
  if (!random_.Chance(faults_.lost_answer)) return Status::Ok();
  reached_ = false;
  return Failed(what, "answer lost", key);
}

void Bucket::Store(const std::string& key, Bytes body) {
  auto object =
      std::make_shared<const std::string>(reinterpret_cast<const char*>(body.data()), body.size());
  if (Scheduled()) {
    Note(Kind::kPut, key, *object);
    TakeUp();
  } else {
    (*objects_)[key] = std::move(object);
  }
  counters_.bytes_sent += body.size();
}

Status Bucket::Put(const std::string& key, Bytes body) {
  BACKSTAY_TRY(Arrives("PUT", key));
  Store(key, body);
  Say("bucket: PUT %s, %zu bytes", key.c_str(), body.size());
  return Returns("PUT", key);
}

Status Bucket::PutIfAbsent(const std::string& key, Bytes body) {
  if (!faults_.conditions) return {Code::kUnsupported, "no conditional writes"};
  BACKSTAY_TRY(Arrives("create", key));
  const bool there = objects_->count(key) != 0;
  Say("bucket: create %s, %zu bytes%s", key.c_str(), body.size(), there ? ": exists" : "");
  if (!there) Store(key, body);
  BACKSTAY_TRY(Returns("create", key));
  return there ? Status(Code::kExists, key + " exists") : Status::Ok();
}

Result<std::string> Bucket::Get(const std::string& key, const GetOptions& options) {
  if (Status way = Arrives("GET", key); !way.ok()) return way;
  const auto found = objects_->find(key);
  if (Status way = Returns("GET", key); !way.ok()) return way;
  if (found == objects_->end()) return Status(Code::kNotFound, key + " does not exist");
  const std::string& object = *found->second;
  if (options.length == 0) {
    if (object.size() > options.max_bytes) return Status(Code::kInvalid, key + " is too large");
    return object;
  }
  const auto size = static_cast<int64_t>(object.size());
  const int64_t from =
      options.offset < 0 ? std::max<int64_t>(0, size + options.offset) : options.offset;
  if (from >= size) return std::string();
  return object.substr(static_cast<size_t>(from), options.length);
}

Result<std::vector<ObjectInfo>> Bucket::List(const ListOptions& options) {
  if (Status way = Arrives("LIST", options.prefix); !way.ok()) return way;
  std::vector<ObjectInfo> listed;
  const bool late = Scheduled() && random_.Chance(faults_.late_list);
  for (const auto& [key, object] : *objects_) {
    if (key.compare(0, options.prefix.size(), options.prefix) != 0) continue;
    const auto since = given.since_ns.find(key);
    if (late && since != given.since_ns.end() && since->second + kLateNs > world->now_ns) continue;
    ObjectInfo info{key, object->size()};
    const size_t slash = options.folders ? key.find('/', options.prefix.size()) : std::string::npos;
    if (slash != std::string::npos) info = {key.substr(0, slash + 1), 0};
    if (info.key <= options.start_after || (!listed.empty() && listed.back().key == info.key))
      continue;
    listed.push_back(info);
    if (options.most != 0 && listed.size() == options.most) break;
  }
  if (Scheduled())
    Say("bucket: LIST %s: %zu%s", options.prefix.c_str(), listed.size(), late ? ", late" : "");
  if (Status way = Returns("LIST", options.prefix); !way.ok()) return way;
  return listed;
}

Status Bucket::Delete(const std::vector<std::string>& keys) {
  BACKSTAY_TRY(Arrives("DELETE", keys.empty() ? "" : keys.front()));
  for (const std::string& key : keys) {
    Say("bucket: DELETE %s", key.c_str());
    if (objects_->erase(key) != 0 && Scheduled()) Note(Kind::kDelete, key);
  }
  return Returns("DELETE", keys.empty() ? "" : keys.front());
}

}  // namespace sim

// In place of the product's: every replica is the simulated one.
Result<std::unique_ptr<ReplicaClient>> MakeReplicaClient(const ReplicaSettings&,
                                                         ClientOptions /*NOLINT: the product's*/) {
  return std::unique_ptr<ReplicaClient>(
      std::make_unique<sim::Bucket>(sim::given.objects, sim::given.faults, sim::given.seed));
}

}  // namespace backstay
