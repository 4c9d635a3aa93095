// The mark of a database file: an extended attribute that says whose replica it is the source of,
// and up to which epoch it wrote its log. It goes with the file itself, so that it outlives a lost
// state folder and is not there on a new or foreign database of the same name.
//
// Called by engine/, ship and capture thread, and by the tool; no descriptor of the database is
// opened (that would drop SQLite's locks). On a file system without extended attributes the file
// `mark` of the state folder takes their place, and there no file lacks a mark. WriteMark fails
// with kIo or kDenied; without a mark a lost state folder heals only while database and replica are
// equal.

#ifndef BACKSTAY_UPLOADER_STATE_DATABASE_MARK_H_
#define BACKSTAY_UPLOADER_STATE_DATABASE_MARK_H_

#include <cstdint>
#include <string>

#include "uploader/base/status.h"
#include "uploader/format/keys.h"

namespace backstay {

struct MarkPlace {
  std::string database;  // path
  std::string folder;    // state folder
};

// The epoch; 0 when the file has no mark for this replica.
uint64_t ReadMark(const MarkPlace& place, const DatabaseId& id);
// This is not the file that was marked, though it could carry the mark. False when that cannot be
// told.
bool LacksMark(const MarkPlace& place, const DatabaseId& id);
// Writes only what is not there yet.
Status WriteMark(const MarkPlace& place, const DatabaseId& id, uint64_t epoch);

// A note in the state folder that the file was made the replica's source on purpose, until the next
// start has done it.
Status NoteAdopted(const std::string& folder, const DatabaseId& id);
bool IsAdopted(const std::string& folder, const DatabaseId& id);
void ForgetAdopted(const std::string& folder);

}  // namespace backstay

#endif  // BACKSTAY_UPLOADER_STATE_DATABASE_MARK_H_
