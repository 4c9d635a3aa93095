#include "uploader/capture/file_look.h"

#include <fcntl.h>

#include <algorithm>
#include <cstring>

#include "uploader/base/file.h"
#include "uploader/capture/page_buffer.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

// Offsets in the database header: fileformat2.html, 1.3.
constexpr size_t kHeaderBytes = 100;
constexpr size_t kPageSizeAt = 16;
constexpr size_t kWriteVersionAt = 18;
constexpr size_t kChangeCounterAt = 24;
constexpr size_t kPagesAt = 28;
constexpr size_t kVersionValidForAt = 92;
constexpr char kMagic[] = "SQLite format 3";  // with its NUL
constexpr uint8_t kJournalMagic[8] = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};

}  // namespace

bool FileLook::Same(const FileLook& other) const {
  if (change != other.change) return false;
  if (stamp.size < 0 || other.stamp.size < 0) return pages == other.pages;
  return stamp.size == other.stamp.size && stamp.mtime_ns == other.stamp.mtime_ns &&
         stamp.inode == other.stamp.inode;
}

uint32_t PageSizeOfHeader(Bytes header) {
  if (header.size() < kHeaderBytes) return 0;
  uint32_t size = static_cast<uint32_t>(header[kPageSizeAt] << 8 | header[kPageSizeAt + 1]);
  if (size == 1) size = 65536;
  return IsPageSize(size) ? size : 0;
}

FileLook ParseLook(Bytes header, int64_t size) {
  FileLook look;
  bool valid = header.size() >= kHeaderBytes && memcmp(header.data(), kMagic, sizeof kMagic) == 0;
  look.page_size = valid ? PageSizeOfHeader(header) : 0;
  if (look.page_size == 0) return look;
  const uint8_t* at = header.data();
  look.rollback = at[kWriteVersionAt] != 2;
  look.change = LoadBe32(at + kChangeCounterAt);
  auto in_file = static_cast<uint32_t>(
      std::min<int64_t>(std::max<int64_t>(0, size) / look.page_size, UINT32_MAX));
  // The size in the header counts if the counters agree; the file may be longer.
  uint32_t pages = LoadBe32(at + kPagesAt);
  bool counts = look.change == LoadBe32(at + kVersionValidForAt) && pages > 0 && pages <= in_file;
  look.pages = counts ? pages : in_file;
  return look;
}

FileLook LookAt(const std::string& database_path, const FileReader& file,
                const std::function<int64_t()>& size) {
  uint8_t header[kHeaderBytes];
  int64_t got = std::clamp<int64_t>(file(header, sizeof header, 0), 0, sizeof header);
  FileLook look = ParseLook(Bytes(header, static_cast<size_t>(got)), size());
  look.stamp = StampOf(database_path);
  return look;
}

bool JournalActive(const std::string& database_path) {
  Result<Fd> fd = OpenFile(database_path + "-journal", O_RDONLY);
  if (!fd.ok()) return false;
  uint8_t head[sizeof kJournalMagic];
  Result<size_t> got = ReadAt(*fd, head, sizeof head, 0);
  return got.ok() && *got == sizeof head && memcmp(head, kJournalMagic, sizeof head) == 0;
}

}  // namespace backstay
