// Capture, the part that knows how many pages the database has, and how many it can have: what a
// WAL says is believed as far as the files can hold it.

#include <algorithm>
#include <string>

#include "uploader/capture/capture.h"

namespace backstay {

uint32_t Capture::PagesAt(const WalTarget& to) {
  uint32_t pages = to.pages;
  if (to.rollback) return pages;
  if (to.max_frame > 0 && pages == 0) {
    // EXCLUSIVE locking mode: only the commit frame says.
    Status read = wal_.Headers(to.max_frame, to.max_frame,
                               [&](const WalFrame& frame) { pages = frame.commit_pages; });
    if (!read.ok()) pages = 0;
  }
  if (to.max_frame > 0 && pages > 0) return std::min(pages, MostPages());
  return PagesInFile();
}

uint32_t Capture::PagesInFile() const {
  const int64_t pages = std::max<int64_t>(0, options_.file_size()) / options_.page_size;
  return static_cast<uint32_t>(std::min<int64_t>(pages, UINT32_MAX));
}

// The largest database that file and WAL can be. A page that neither has is a leaf of the free list
// (fileformat2.html, 1.5), and the trunk page that names it was written.
uint32_t Capture::MostPages() const {
  const uint64_t leaves = uint64_t{wal_.frames()} * (options_.page_size / 4);
  return static_cast<uint32_t>(std::min<uint64_t>(PagesInFile() + leaves, UINT32_MAX));
}

// What a frame says of the size of the database decides how much memory the index takes.
Status Capture::CheckPages(uint32_t pages) const {
  if (pages <= MostPages()) return Status::Ok();
  return {Code::kCorrupt, options_.database_path + "-wal tells of " + std::to_string(pages) +
                              " pages, more than it and the database can hold"};
}

// For a moment that is nothing: the wal-index tells of the next WAL before the file has its header.
Status Capture::OtherWal() const {
  return {Code::kUnavailable,
          options_.database_path +
              "-wal is not the one that was last committed to: it begins anew, or was moved, "
              "deleted or replaced; if this lasts, close the database and open it again",
          true};
}

}  // namespace backstay
