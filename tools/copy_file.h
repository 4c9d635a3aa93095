// CopyFile: a database file that follows a replica while others read it, as a PageStore.
//
// Belongs to one thread of the tool. What is written waits in a temporary file until Commit(),
// which is one transaction of SQLite's rollback journal under its EXCLUSIVE lock: a reader sees the
// state before or the one after, and what a kill leaves heals with the next opening. So the file is
// in rollback mode whatever the original is in, with a change counter of its own: bytes 18, 19, 24
// to 27 and 92 to 95 of page 1 are this class's; to its callers page 1 is the original's (`Head`).
// Errors: kIo with the path (disk full among them); kExists where the file is not what was last
// written to it, or not what its path names any more: nothing of it is touched; kExists, retryable,
// where a reader keeps a transaction open. Behind any error of Commit() the file is as it was, at
// the latest when it is opened or committed to again, and what waits still does.

#ifndef BACKSTAY_TOOLS_COPY_FILE_H_
#define BACKSTAY_TOOLS_COPY_FILE_H_

#include <sqlite3.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "uploader/base/file.h"
#include "uploader/replica/page_store.h"

namespace backstay {

class CopyFile : public PageStore {
 public:
  // What the original has where the copy has its own.
  using Head = std::array<uint8_t, 10>;

  // Makes a restored file one that can be followed, by its first commit; nobody has it open yet.
  static Status Prepare(const Fd& file, Head* head);
  // Heals what a kill has left.
  static Result<std::unique_ptr<CopyFile>> Open(const std::string& path);

  // The number of its last commit.
  uint32_t counter() const { return counter_; }
  const Head& head() const { return pending_head_; }
  void SetHead(const Head& head) { head_ = pending_head_ = head; }
  uint64_t size() const { return size_; }  // bytes
  // Of the pages that are read and written from here on; nothing waits yet.
  void SetPageSize(uint32_t page_size) { block_ = page_size; }
  // What was written since the last commit.
  void Discard();
  // Whole pages, one or more, at their offsets; sizes likewise.
  Status Write(uint64_t offset, Bytes data) override;
  Status Read(uint64_t offset, uint8_t* out, size_t n) override;
  Status Truncate(uint64_t size) override;
  // The file is still the one that its path names.
  Status InPlace();
  // What was written since the last one, for the readers: as commit counter() + 1.
  Status Commit();

 private:
  using Connection = std::unique_ptr<sqlite3, int (*)(sqlite3*)>;

  // The first bytes of the file, which its commits change, and which file it is.
  using Front = std::array<uint8_t, 512>;
  struct Place {
    uint64_t device = 0;
    uint64_t inode = 0;
  };

  CopyFile(Connection db, Fd spill);
  Status FindPlace(Place* place) const;
  Status Look();
  Status ReadFile(uint64_t offset, uint8_t* out, size_t n);
  Status Lock();
  Status Replace();
  Status WriteJournal(const std::string& journal);
  Status WriteBlocks();

  const Connection db_;
  const std::string path_;               // SQLite's, behind symbolic links
  const Fd spill_;                       // pages that wait
  uint64_t block_ = 512;                 // bytes of each
  std::map<uint64_t, uint64_t> blocks_;  // number in the file, from 0 -> number in the spill
  uint64_t spilled_ = 0;
  sqlite3_file* file_ = nullptr;  // the connection's: a descriptor of ours would drop its locks
  Place place_;
  Front front_{};  // of the file as it is, and so below
  uint32_t page_size_ = 0;
  uint32_t counter_ = 0;
  uint64_t file_size_ = 0;
  uint64_t size_ = 0;      // bytes, with what waits
  uint64_t readable_ = 0;  // of the file, what was not cut off
  Head head_{};
  Head pending_head_{};
};

// What stands at `path` is not what was last written to the copy there.
Status NotTheCopy(const std::string& path);

}  // namespace backstay

#endif  // BACKSTAY_TOOLS_COPY_FILE_H_
