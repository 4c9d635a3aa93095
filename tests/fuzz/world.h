// Worlds: what whole databases left behind, with their state folders and replicas, and ways to
// damage it.
//
// Made once in a process, by the real shim and engine, and written out again for each input that a
// fuzz target is given: below /dev/shm, removed when the process ends. One thread. What cannot be
// made ends the process.

#ifndef BACKSTAY_TESTS_FUZZ_WORLD_H_
#define BACKSTAY_TESTS_FUZZ_WORLD_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "uploader/base/bytes.h"

namespace backstay {

// Contents by the name below the folder.
using Files = std::map<std::string, std::string>;

struct World {
  Files files;  // of a process that was killed: database, WAL or hot journal, state folder, replica
  Files marks;  // extended attributes of the database
  uint64_t txid = 0;  // a transaction that the replica holds ...
  std::string image;  // ... and the database after it
};
const std::vector<World>& Worlds();

// A folder of one process; empty at first.
class Folder {
 public:
  explicit Folder(const std::string& name);
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  void Fill(const World& world) const;
  Files Read() const;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  std::string Database() const { return *this / "app.db"; }
  // As a URI that names the replica, too.
  std::string Uri() const;

 private:
  const std::string path_;
};

// What is read of an input, in its order; zeros behind its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : in_(Bytes(data, size)) {}
  bool more() const { return in_.remaining() > 0; }
  uint8_t Byte() { return in_.U8(); }
  uint32_t Number() { return in_.U32(); }
  std::string Text(size_t n) {
    return std::string(AsString(in_.Raw(std::min(n, in_.remaining()))));
  }

 private:
  ByteReader in_;
};

// One change to one file of a folder, as anybody could make it who may write there.
struct Damage {
  enum Kind : uint8_t { kWrite, kNumber, kCut, kAppend, kExchange, kCopy, kRemove, kRepair };
  // Of the files that Change() can be told to damage; those of the replica are the last ones.
  static const std::vector<std::string>& Names();

  Kind kind;
  std::string name;
  uint32_t at;
  std::string bytes;  // kWrite, kNumber, kAppend
  size_t from;        // kExchange: another world; kCopy: another file of Names()

  static Damage From(Input* input, Kind kind);
  // SQLite has mapped it: cutting it ends any process that uses it, with or without Backstay.
  bool IsMapped() const { return name == "app.db-shm"; }
  bool IsOfState() const { return name.find('/') != std::string::npos && !IsOfReplica(); }
  bool IsOfReplica() const { return name.rfind("replica/", 0) == 0; }
  void Do(const Folder& folder) const;
};

// A database that is restored from the replica of `folder`: its content; empty when there is no
// such state. `txid` 0: the newest.
std::string Restored(const Folder& folder, uint64_t txid);

}  // namespace backstay

#endif  // BACKSTAY_TESTS_FUZZ_WORLD_H_
