// A replica made by hand beside a model database, for tests of reading.
//
// One thread; every failure ends the test program's case by an exception of Catch (REQUIRE). The
// model keeps the bytes of the database after every transaction, so that a restore to any of them
// can be compared.

#ifndef BACKSTAY_TESTS_SUPPORT_REPLICA_BUILDER_H_
#define BACKSTAY_TESTS_SUPPORT_REPLICA_BUILDER_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "uploader/format/keys.h"
#include "uploader/format/pack.h"
#include "uploader/format/snapshot.h"
#include "uploader/replica/page_store.h"
#include "uploader/storage/replica_client.h"

namespace backstay {

// A database in memory.
class MemoryPageStore : public PageStore {
 public:
  Status Write(uint64_t offset, Bytes data) override;
  Status Read(uint64_t offset, uint8_t* out, size_t n) override;
  Status Truncate(uint64_t size) override;
  const std::string& bytes() const { return bytes_; }

 private:
  std::mutex mutex_;
  std::string bytes_;
};

class ReplicaBuilder {
 public:
  struct Version {
    std::string database;
    int64_t time_ms = 0;
  };

  // Writes backstay.json. The database has `pages` pages; nothing of it is in the replica before a
  // snapshot is.
  ReplicaBuilder(ReplicaClient* client, uint32_t page_size, uint32_t pages, uint32_t seed);

  // One transaction that changes about `writes` pages at random, and at times the size.
  void Commit(size_t writes);
  // A transaction with the given bytes as the whole database.
  void CommitDatabase(const std::string& database);
  // What was committed since, as one segment in one log object. Returns the object's number.
  uint64_t Ship();
  // As Ship, in two objects: the last transaction is split between their segments.
  void ShipSplit();
  // As Ship, but every `per_step` transactions make one step.
  void ShipMerged(size_t per_step);
  // As Ship, only the first half of the last transaction; the rest never comes.
  void ShipUnfinished();

  // A transaction that says how large the database is, and writes nothing, or page `pgno`.
  void ShipSize(uint32_t pages, uint32_t pgno = 0);

  void StartSnapshot();   // copies the first half of the pages
  void FinishSnapshot();  // ships, copies the rest, writes the manifest
  void Snapshot() { Ship(), StartSnapshot(), FinishSnapshot(); }
  // Frames of a snapshot, never a manifest.
  void UnfinishedSnapshot();

  void Takeover();
  // The database gets another page size, and other content; the next snapshot begins the new base.
  void NewBase(uint32_t page_size, uint32_t pages);
  // A copy of the last segments object under the next number, with an epoch before the takeover.
  void PutVoid();
  void SkipNumber() { ++number_; }
  void Pack(uint64_t first, uint64_t last, bool delete_singles);

  const std::map<uint64_t, Version>& versions() const { return versions_; }
  // Transactions that are in the replica and ended a step, from the first snapshot on.
  const std::set<uint64_t>& points() const { return points_; }
  uint64_t txid() const { return txid_; }
  uint64_t next_number() const { return number_; }
  int64_t time_ms() const { return time_ms_; }
  ReplicaClient* client() const { return client_; }
  const Identity& identity() const { return identity_; }
  std::string Read(const std::string& key) const;
  void Write(const std::string& key, const std::string& body);

 private:
  struct Transaction {
    uint64_t txid = 0;
    int64_t time_ms = 0;
    uint32_t pages = 0;
    std::map<uint32_t, std::string> images;
  };
  struct RunningSnapshot {
    SnapshotManifest manifest;
    std::string copy;
    uint32_t copied = 0;         // pages
    std::set<uint32_t> unbased;  // pages not written since the start
  };

  void AddImages(SegmentWriter* writer, const std::map<uint32_t, std::string>& images);
  void ResizeEncoded(uint32_t pages);
  void Record(uint32_t page_size);
  void Fill(uint32_t pages);
  uint64_t PutSegment(SegmentWriter* writer, uint8_t flags, uint64_t first_txid);
  uint64_t Checksum() const;
  void PutSnapshotFrames(uint64_t number, const std::string& copy, SnapshotManifest* manifest);

  ReplicaClient* const client_;
  Identity identity_;
  std::mt19937 random_;
  uint32_t page_size_;
  uint64_t base_ = 0;                 // log number of the last NewBase()
  std::string database_;              // as committed
  std::string encoded_;               // as in the segments so far
  std::vector<Transaction> pending_;  // committed, not encoded
  std::map<uint64_t, Version> versions_;
  std::set<uint64_t> points_;
  uint64_t txid_ = 0;
  int64_t time_ms_ = 1'700'000'000'000;
  uint64_t epoch_ = 1;
  uint64_t number_ = 1;          // of the next log object
  uint64_t segment_number_ = 0;  // of the last segment
  uint64_t segment_hash_ = 0;
  uint64_t encoded_txid_ = 0;
  std::string last_segments_;  // bytes after the log header
  std::optional<RunningSnapshot> snapshot_;
  bool has_snapshot_ = false;
};

}  // namespace backstay

#endif  // BACKSTAY_TESTS_SUPPORT_REPLICA_BUILDER_H_
