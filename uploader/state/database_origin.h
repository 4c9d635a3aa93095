// Where a database file comes from, as it says itself: the family of replicas that it shares with
// its earlier lives, and its home, the place where it was last in use. A copy carries the home of
// the file that it was made from, or nothing at all; one that was moved finds nobody there.
//
// Extended attributes of the file, as its mark is; where there are none, files of its state folder
// take their place (the home always is in both: a copy may come with its folder, or without).
// Called by engine/, with the database open, and by the tool: no descriptor of the database is
// opened. What cannot be read is not known; writing fails with kIo or kDenied.

#ifndef BACKSTAY_UPLOADER_STATE_DATABASE_ORIGIN_H_
#define BACKSTAY_UPLOADER_STATE_DATABASE_ORIGIN_H_

#include <cstdint>
#include <string>

#include "uploader/base/status.h"
#include "uploader/format/keys.h"

namespace backstay {

struct Family {
  DatabaseId id{};       // zeros: not known
  int64_t since_ms = 0;  // wall clock: when this life of the database began
  // What it began with, when it was restored: commit time and database checksum.
  int64_t state_ms = 0;
  uint64_t checksum = 0;

  bool known() const { return id != DatabaseId{}; }
};

Family ReadFamily(const std::string& database);
// The file's family from now on, which is `wanted` unless it has one, perhaps since a moment ago.
Result<Family> ClaimFamily(const std::string& database, const Family& wanted);
// In place of the one that it may have.
Status WriteFamily(const std::string& database, const Family& family);

// Says that this file is here.
Status WriteHome(const std::string& database);
// The file that this one was copied from, if it still is where it was in use; else empty: this one
// is the original, was moved, or nothing tells.
std::string OriginalOf(const std::string& database);

// It is the source of some replica.
bool HasMark(const std::string& database);
// A copy begins a life of its own: family, home and marks that came with it are removed.
void ForgetOrigin(const std::string& database);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_DATABASE_ORIGIN_H_
