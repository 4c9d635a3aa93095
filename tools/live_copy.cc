#include "tools/live_copy.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>

#include "uploader/base/bytes.h"
#include "uploader/base/clock.h"
#include "uploader/base/file.h"
#include "uploader/format/segment.h"

namespace backstay {
namespace {

using Connection = std::unique_ptr<sqlite3, int (*)(sqlite3*)>;
using Backup = std::unique_ptr<sqlite3_backup, int (*)(sqlite3_backup*)>;

constexpr int kStepPages = 256;
constexpr int kBusyMs = 5000;
constexpr int64_t kMostMs = 60 * 1000;  // without an end of the copy, where it begins again
constexpr auto kPause = std::chrono::milliseconds(5);
constexpr size_t kMostNumbers = 5;

Status Failed(sqlite3* db, const std::string& database) {
  const bool gone = access(database.c_str(), F_OK) != 0 && errno == ENOENT;
  return {Code::kIo, database + " cannot be read to compare with it: " +
                         (gone ? "it is not there" : sqlite3_errmsg(db))};
}

Connection Open(const std::string& path, int flags) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(path.c_str(), &raw, flags, "unix");
  Connection db(raw, &sqlite3_close);
  if (opened == SQLITE_OK) sqlite3_busy_timeout(raw, kBusyMs);
  return db;
}

// The first column of the first row, as a text.
std::string Ask(sqlite3* db, const char* sql) {
  std::string answer;
  const auto take = [](void* out, int, char** values, char**) {
    if (values[0] != nullptr) *static_cast<std::string*>(out) = values[0];
    return 1;
  };
  sqlite3_exec(db, sql, take, &answer, nullptr);
  return answer;
}

// Of the source's header that is not the source's in a copy: the file change counter, the schema
// cookie, and who wrote it last (sqlite.org/fileformat2.html, 1.3).
void ForgetOwn(std::string* first_page) {
  for (const auto& [offset, length] : {std::pair<size_t, size_t>{24, 4}, {40, 4}, {92, 8}}) {
    std::fill_n(first_page->begin() + static_cast<std::ptrdiff_t>(offset), length, '\0');
  }
}

Result<std::string> ReadPage(const Fd& fd, uint32_t pgno, uint32_t page_size) {
  std::string page(page_size, '\0');
  Result<size_t> got = ReadAt(fd, reinterpret_cast<uint8_t*>(page.data()), page_size,
                              static_cast<int64_t>(pgno - 1) * page_size);
  if (!got.ok()) return got.status();
  if (pgno == 1) ForgetOwn(&page);
  return page;
}

struct Source {
  const std::string& database;
  bool closed = false;  // nobody has it open
};

// Of a file: two that are equal say that nobody has written to it in between.
using Stamp = std::array<int64_t, 6>;

// Of a database in WAL mode that nobody has open: else its WAL would be there. Read through
// SQLite's locks it would get one, which a reader cannot remove.
std::optional<Stamp> StampOfClosed(const std::string& database) {
  constexpr int kVersions = 18;  // sqlite.org/fileformat2.html, 1.3.3: both are 2 with a WAL
  std::array<uint8_t, 20> header{};
  struct stat file {};
  Result<Fd> fd = OpenFile(database, O_RDONLY);
  if (!fd.ok() || fstat(fd->get(), &file) != 0) return std::nullopt;
  Result<size_t> got = ReadAt(*fd, header.data(), header.size(), 0);
  if (!got.ok() || *got < header.size()) return std::nullopt;
  if (header[kVersions] != 2 || header[kVersions + 1] != 2) return std::nullopt;
  for (const char* beside : {"-wal", "-journal"}) {
    if (access((database + beside).c_str(), F_OK) == 0) return std::nullopt;
  }
  return Stamp{static_cast<int64_t>(file.st_dev),
               static_cast<int64_t>(file.st_ino),
               file.st_size,
               file.st_mtim.tv_sec,
               file.st_mtim.tv_nsec,
               file.st_ctim.tv_nsec};
}

Result<LiveCopy> Copy(const Source& from, const std::string& to, const StopCheck& stop) {
  const std::string& database = from.database;
  Connection source = from.closed
                          ? Open(ImmutableUri(database), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI)
                          : Open(database, SQLITE_OPEN_READONLY);
  Connection target = Open(to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  sqlite3_exec(target.get(), "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF", nullptr, nullptr,
               nullptr);
  const bool steady = from.closed || Ask(source.get(), "PRAGMA journal_mode") == "wal";
  LiveCopy copy{to, RealClock()->WallMs()};
  if (steady) {
    sqlite3_exec(source.get(), "BEGIN", nullptr, nullptr, nullptr);
    Ask(source.get(), "SELECT count(*) FROM sqlite_master");
    copy.at_ms = RealClock()->WallMs();
  }
  Backup backup(sqlite3_backup_init(target.get(), "main", source.get(), "main"),
                &sqlite3_backup_finish);
  if (backup == nullptr) return Failed(target.get(), database);
  const int64_t until = RealClock()->MonotonicMs() + kMostMs;
  int step = SQLITE_OK;
  while (step == SQLITE_OK || step == SQLITE_BUSY || step == SQLITE_LOCKED) {
    if (stop && stop()) return Status(Code::kCancelled, "cancelled");
    if (!steady) copy.at_ms = RealClock()->WallMs();
    step = sqlite3_backup_step(backup.get(), kStepPages);
    if (step == SQLITE_DONE || steady) continue;
    if (RealClock()->MonotonicMs() > until) {
      return Status(Code::kIo, database +
                                   " is written to without a pause in which it could be "
                                   "compared");
    }
    std::this_thread::sleep_for(kPause);
  }
  backup.reset();
  if (step != SQLITE_DONE) return Failed(target.get(), database);
  return copy;
}

}  // namespace

Result<LiveCopy> CopyLive(const std::string& database, const std::string& to,
                          const StopCheck& stop) {
  const std::optional<Stamp> closed = StampOfClosed(database);
  if (closed) {
    Result<LiveCopy> copy = Copy({database, true}, to, stop);
    if (!copy.ok() || StampOfClosed(database) == closed) return copy;
    unlink(to.c_str());
  }
  return Copy({database, false}, to, stop);
}

Result<PageDifferences> ComparePages(const std::string& restored, const LiveCopy& live,
                                     uint32_t page_size) {
  Result<Fd> here = OpenFile(restored, O_RDONLY);
  if (!here.ok()) return here.status();
  Result<Fd> there = OpenFile(live.path, O_RDONLY);
  if (!there.ok()) return there.status();
  Result<int64_t> size = FileSize(*here);
  Result<int64_t> other = FileSize(*there);
  if (!size.ok() || !other.ok()) return size.ok() ? other.status() : size.status();
  PageDifferences differences;
  const auto pages = static_cast<uint32_t>(std::max(*size, *other) / page_size);
  for (uint32_t pgno = 1; pgno <= pages; ++pgno) {
    if (pgno == LockBytePage(page_size)) continue;
    Result<std::string> a = ReadPage(*here, pgno, page_size);
    Result<std::string> b = ReadPage(*there, pgno, page_size);
    if (!a.ok() || !b.ok()) return a.ok() ? b.status() : a.status();
    const int64_t end = static_cast<int64_t>(pgno) * page_size;
    if (*a == *b && end <= std::min(*size, *other)) continue;
    ++differences.pages;
    if (differences.first.size() < kMostNumbers) differences.first.push_back(pgno);
  }
  return differences;
}

}  // namespace backstay
