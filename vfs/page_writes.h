// PageWrites: what one connection has written to its main database file in a rollback-journal mode
// since its last transaction ended.
//
// One per main database file; called on the thread that uses the connection. Keeps the number of
// every page, and the old images of the first kMaxImages of them; memory is bounded by that and by
// a bit per page of the database. May throw std::bad_alloc: then Lose().

#ifndef BACKSTAY_VFS_PAGE_WRITES_H_
#define BACKSTAY_VFS_PAGE_WRITES_H_

#include <sqlite3.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace backstay {

// The file underneath, with the methods of the real VFS.
struct InnerFile {
  sqlite3_file* file;
  const sqlite3_io_methods* methods;

  // False: not all of it is there.
  bool Read(void* out, int n, int64_t offset) const {
    return methods->xRead(file, out, n, offset) == SQLITE_OK;
  }
  int64_t Size() const {
    sqlite3_int64 size = 0;
    return methods->xFileSize(file, &size) == SQLITE_OK ? size : 0;
  }
};

// Of the database header (sqlite.org/fileformat2.html, 1.3).
struct DatabaseHeader {
  bool there = false;      // the file is long enough to have one
  bool valid = false;      // and it is SQLite's, not encrypted
  bool wal = false;        // the database is in WAL mode
  uint32_t page_size = 0;  // bytes; 0 unless valid
};
DatabaseHeader ReadHeader(const InnerFile& file) noexcept;

class PageWrites {
 public:
  // Since Begin(), until Clear().
  bool open() const noexcept { return open_; }
  // Something is about to be written for the first time.
  void Begin(const InnerFile& file) noexcept;
  // These bytes are about to be written; reads the old images. REQUIRES: open().
  void Write(const InnerFile& file, int n, int64_t offset);
  // The file is about to be cut to `size` bytes; what it grows by later is written, too.
  void Truncate(int64_t size) noexcept;
  // There was no memory to keep what was written.
  void Lose() noexcept { lost_ = true; }
  void Clear() noexcept;

  struct Pages {
    bool complete = true;
    uint32_t page_size = 0;
    std::vector<uint32_t> pgnos;  // ascending
    std::vector<uint8_t> images;  // as they are now; empty: too many
    std::vector<uint8_t> old;     // before; zeros where nothing was
  };
  // All pages that were written and are still there. REQUIRES: open().
  Pages Collect(const InnerFile& file);

 private:
  void Mark(const InnerFile& file, uint32_t pgno);
  void MarkRegrown(const InnerFile& file);
  bool few() const noexcept { return pgnos_.size() <= max_images_; }

  bool open_ = false;
  bool lost_ = false;
  uint32_t page_size_ = 0;  // bytes; 0: there was no database before
  size_t max_images_ = 0;
  int64_t old_size_ = 0;            // of the file, bytes
  int64_t least_size_ = INT64_MAX;  // it was cut to this in between
  std::vector<bool> marked_;        // [pgno - 1]
  std::vector<uint32_t> pgnos_;     // in the order of writing; incomplete unless few()
  std::vector<uint8_t> old_;        // one page for each of pgnos_; empty unless few()
};

}  // namespace backstay

#endif  // BACKSTAY_VFS_PAGE_WRITES_H_
