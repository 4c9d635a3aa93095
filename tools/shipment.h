// Shipment: databases opened with the extension in this process, so that what of them waits for
// the replica is shipped, by the same engine and the same settings as in an application.
//
// Main thread. The extension stays in the process and logs as the settings say. What is open when
// the process ends is shipped then, for the drain timeout at most. kInvalid: no such database, or
// the extension is not there; kIo, kCorrupt: SQLite cannot open the database.

#ifndef BACKSTAY_TOOLS_SHIPMENT_H_
#define BACKSTAY_TOOLS_SHIPMENT_H_

#include <cstdint>
#include <string>

#include "uploader/base/status.h"

struct sqlite3;

namespace backstay {

class Shipment {
 public:
  // `database`: its absolute path.
  static Result<Shipment> Open(const std::string& database);
  Shipment(Shipment&& other) noexcept;
  Shipment& operator=(Shipment&&) = delete;
  ~Shipment();

  // Waits until all that is committed is in every replica, at most so long. False: it is not.
  bool Sync(int64_t timeout_ms);
  // Reads, without waiting for a lock: until its connection does, SQLite and with it Backstay do
  // not know the journal mode that another program has given the database.
  Status Look();
  // As backstay_status() says it.
  std::string StatusJson();
  // Leaves it open until the process ends.
  void Leave() { db_ = nullptr; }

 private:
  explicit Shipment(sqlite3* db) : db_(db) {}

  sqlite3* db_;
};

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_SHIPMENT_H_
