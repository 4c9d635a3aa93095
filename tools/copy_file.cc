#include "tools/copy_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "uploader/base/bytes.h"
#include "uploader/base/own_folder.h"

namespace backstay {
namespace {

constexpr int kBusyMs = 5000;  // readers that do not end their transactions
// Where Head lies in page 1.
constexpr std::array<size_t, 10> kPlaces = {18, 19, 24, 25, 26, 27, 92, 93, 94, 95};
constexpr size_t kSector = 512;
constexpr std::array<uint8_t, 8> kJournalMagic = {0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7};

void StoreBe32(uint8_t* p, uint32_t n) {
  for (int i = 0; i < 4; ++i) p[i] = static_cast<uint8_t>(n >> (24 - 8 * i));
}

uint32_t PageSizeOf(const uint8_t* page) {
  const uint32_t size = uint32_t{page[16]} << 8 | page[17];
  return size == 1 ? 65536 : size;
}

CopyFile::Head TakeHead(const uint8_t* page) {
  CopyFile::Head head{};
  for (size_t i = 0; i < head.size(); ++i) head[i] = page[kPlaces[i]];
  return head;
}

void PutHead(const CopyFile::Head& head, uint8_t* page) {
  for (size_t i = 0; i < head.size(); ++i) page[kPlaces[i]] = head[i];
}

// Rollback mode, and valid for this commit.
CopyFile::Head OwnHead(uint32_t counter) {
  CopyFile::Head head{1, 1};
  StoreBe32(head.data() + 2, counter);
  StoreBe32(head.data() + 6, counter);
  return head;
}

Status Failed(const std::string& path, int code) {
  const bool busy = (code & 0xff) == SQLITE_BUSY || (code & 0xff) == SQLITE_LOCKED;
  if (!busy) return {Code::kIo, path + ": " + sqlite3_errstr(code)};
  return {Code::kExists,
          path + ": another program keeps a transaction open, which holds up what is new", true};
}

Status Gone(const std::string& path) {
  return {Code::kExists, path +
                             ": was deleted, or replaced by another file, which is left as it is; "
                             "start again to make the copy anew, or name another file with -o"};
}

}  // namespace

Status NotTheCopy(const std::string& path) {
  return {Code::kExists, path +
                             ": another program has written to it; it is left as it is: name "
                             "another file with -o, or replace it by a copy with -force"};
}

Status CopyFile::Prepare(const Fd& file, Head* head) {
  Front block{};
  Result<size_t> got = ReadAt(file, block.data(), block.size(), 0);
  if (!got.ok()) return got.status();
  *head = TakeHead(block.data());
  PutHead(OwnHead(1), block.data());
  return WriteAt(file, block, 0);
}

CopyFile::CopyFile(Connection db, Fd spill)
    : db_(std::move(db)), path_(sqlite3_db_filename(db_.get(), "main")), spill_(std::move(spill)) {
  sqlite3_busy_timeout(db_.get(), kBusyMs);
  sqlite3_file_control(db_.get(), "main", SQLITE_FCNTL_FILE_POINTER, &file_);
}

Result<std::unique_ptr<CopyFile>> CopyFile::Open(const std::string& path) {
  sqlite3* raw = nullptr;
  const int opened = sqlite3_open_v2(path.c_str(), &raw, SQLITE_OPEN_READWRITE, "unix");
  Connection db(raw, &sqlite3_close);
  if (opened != SQLITE_OK && access(path.c_str(), F_OK) != 0 && errno == ENOENT) return Gone(path);
  if (opened != SQLITE_OK) return Failed(path, opened);
  Fd spill(open(FolderOf(path).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!spill.valid()) return Status::Errno("temporary file beside " + path, errno);
  std::unique_ptr<CopyFile> copy(new CopyFile(std::move(db), std::move(spill)));
  BACKSTAY_TRY(copy->FindPlace(&copy->place_));
  // Rolls a hot journal back.
  BACKSTAY_TRY(copy->Lock());
  Status looked = copy->Look();
  sqlite3_exec(raw, "COMMIT", nullptr, nullptr, nullptr);
  BACKSTAY_TRY(looked);
  return copy;
}

// What SQLite compares is behind symbolic links, where the journal would have another name.
Status CopyFile::FindPlace(Place* place) const {
  int moved = 0;
  struct stat named {};
  const int code = sqlite3_file_control(db_.get(), "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  if (code != SQLITE_OK) return Failed(path_, code);
  if (moved != 0 || lstat(path_.c_str(), &named) != 0) return Gone(path_);
  *place = {named.st_dev, named.st_ino};
  return Status::Ok();
}

Status CopyFile::InPlace() {
  Place place;
  BACKSTAY_TRY(FindPlace(&place));
  const bool same = place.device == place_.device && place.inode == place_.inode;
  return same ? Status::Ok() : Gone(path_);
}

Status CopyFile::Lock() {
  const int code = sqlite3_exec(db_.get(), "BEGIN EXCLUSIVE", nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? Status::Ok() : Failed(path_, code);
}

// The file as it is.
Status CopyFile::Look() {
  sqlite3_int64 size = 0;
  const int code = file_->pMethods->xFileSize(file_, &size);
  if (code != SQLITE_OK) return Failed(path_, code);
  BACKSTAY_TRY(ReadFile(0, front_.data(), front_.size()));
  page_size_ = PageSizeOf(front_.data());
  counter_ = LoadBe32(front_.data() + 24);
  file_size_ = static_cast<uint64_t>(size);
  Discard();
  return Status::Ok();
}

void CopyFile::Discard() {
  blocks_.clear();
  spilled_ = 0;
  // For the room that it takes.
  (void)ftruncate(spill_.get(), 0);
  size_ = readable_ = file_size_;
  pending_head_ = head_;
}

Status CopyFile::ReadFile(uint64_t offset, uint8_t* out, size_t n) {
  const int code =
      file_->pMethods->xRead(file_, out, static_cast<int>(n), static_cast<sqlite3_int64>(offset));
  // What lies behind the end is zeros.
  return code == SQLITE_OK || code == SQLITE_IOERR_SHORT_READ ? Status::Ok() : Failed(path_, code);
}

Status CopyFile::Write(uint64_t offset, Bytes data) {
  if (offset == 0) pending_head_ = TakeHead(data.data());
  for (uint64_t at = 0; at < data.size(); at += block_) {
    const auto [block, is_new] = blocks_.try_emplace((offset + at) / block_, spilled_);
    if (is_new) ++spilled_;
    const uint64_t slot = block->second;
    BACKSTAY_TRY(WriteAt(spill_, data.subspan(at, block_), static_cast<int64_t>(slot * block_))
                     .Wrap("temporary file beside " + path_));
  }
  size_ = std::max(size_, offset + data.size());
  return Status::Ok();
}

Status CopyFile::Read(uint64_t offset, uint8_t* out, size_t n) {
  for (uint64_t at = 0; at < n; at += block_) {
    const auto block = blocks_.find((offset + at) / block_);
    if (block != blocks_.end()) {
      const auto place = static_cast<int64_t>(block->second * block_);
      Result<size_t> got = ReadAt(spill_, out + at, block_, place);
      if (!got.ok()) return got.status();
    } else if (offset + at < readable_) {
      BACKSTAY_TRY(ReadFile(offset + at, out + at, block_));
    } else {
      std::memset(out + at, 0, block_);
    }
  }
  if (offset == 0) PutHead(pending_head_, out);
  return Status::Ok();
}

Status CopyFile::Truncate(uint64_t size) {
  blocks_.erase(blocks_.lower_bound(size / block_), blocks_.end());
  readable_ = std::min(readable_, size);
  size_ = size;
  return Status::Ok();
}

// The pages that will change, as they are; synced before the first of them does.
Status CopyFile::WriteJournal(const std::string& journal) {
  struct stat like {};
  if (stat(path_.c_str(), &like) != 0) return Status::Errno("stat " + path_, errno);
  // What is there is no hot one: that was rolled back.
  unlink(journal.c_str());
  Result<Fd> file = OpenFile(journal, O_RDWR | O_CREAT | O_EXCL);
  if (!file.ok()) return file.status().Wrap(journal);
  if (fchmod(file->get(), like.st_mode & 07777) != 0) return Status::Errno(journal, errno);
  const uint64_t pages = file_size_ / page_size_;
  std::vector<uint8_t> record(page_size_ + 8);
  uint64_t last = 0;
  uint32_t count = 0;
  uint64_t at = kSector;
  const auto add = [&](uint64_t pgno) -> Status {
    // SQLite never journals the page of its locks, nor is it ever written.
    const bool lock_page = pgno == (1U << 30) / page_size_ + 1;
    if (pgno == last || pgno > pages || lock_page) return Status::Ok();
    last = pgno;
    StoreBe32(record.data(), static_cast<uint32_t>(pgno));
    BACKSTAY_TRY(ReadFile((pgno - 1) * page_size_, record.data() + 4, page_size_));
    uint32_t sum = 0;  // the nonce
    for (int64_t i = int64_t{page_size_} - 200; i > 0; i -= 200)
      sum += record[4 + static_cast<size_t>(i)];
    StoreBe32(record.data() + 4 + page_size_, sum);
    BACKSTAY_TRY(WriteAt(*file, record, static_cast<int64_t>(at)).Wrap(journal));
    at += record.size();
    ++count;
    return Status::Ok();
  };
  for (const auto& [number, slot] : blocks_) {
    const uint64_t end = (number + 1) * block_;
    for (uint64_t byte = number * block_; byte < end;
         byte += std::min<uint64_t>(page_size_, block_)) {
      BACKSTAY_TRY(add(byte / page_size_ + 1));
    }
  }
  // What is cut off; that a page is there twice does no harm.
  for (uint64_t page = readable_ / page_size_ + 1; page <= pages; ++page) BACKSTAY_TRY(add(page));
  std::array<uint8_t, kSector> header{};
  std::copy(kJournalMagic.begin(), kJournalMagic.end(), header.begin());
  StoreBe32(header.data() + 8, count);
  StoreBe32(header.data() + 16, static_cast<uint32_t>(pages));
  StoreBe32(header.data() + 20, kSector);
  StoreBe32(header.data() + 24, page_size_);
  BACKSTAY_TRY(WriteAt(*file, header, 0).Wrap(journal));
  if (fsync(file->get()) != 0) return Status::Errno("fsync " + journal, errno);
  return SyncFolder(FolderOf(path_));
}

Status CopyFile::WriteBlocks() {
  const sqlite3_io_methods& methods = *file_->pMethods;
  std::vector<uint8_t> block(block_);
  int code = SQLITE_OK;
  const auto write = [&](uint64_t offset) {
    return methods.xWrite(file_, block.data(), static_cast<int>(block.size()),
                          static_cast<sqlite3_int64>(offset));
  };
  if (readable_ < file_size_) {
    code = methods.xTruncate(file_, static_cast<sqlite3_int64>(readable_));
  }
  // Zeros where nothing was written: the end first.
  if (code == SQLITE_OK && size_ > readable_) {
    code = write(size_ - block_);
  }
  for (const auto& [number, slot] : blocks_) {
    if (code != SQLITE_OK) break;
    Result<size_t> got = ReadAt(spill_, block.data(), block_, static_cast<int64_t>(slot * block_));
    if (!got.ok()) return got.status();
    if (number == 0) PutHead(OwnHead(counter_ + 1), block.data());
    code = write(number * block_);
  }
  if (code == SQLITE_OK) code = methods.xSync(file_, SQLITE_SYNC_NORMAL);
  return code == SQLITE_OK ? Status::Ok() : Failed(path_, code);
}

Status CopyFile::Replace() {
  Front front{};
  BACKSTAY_TRY(ReadFile(0, front.data(), front.size()));
  if (front != front_) return NotTheCopy(path_);
  // Page 1 is of every commit: it has the counter.
  std::vector<uint8_t> first(block_);
  BACKSTAY_TRY(Read(0, first.data(), first.size()));
  BACKSTAY_TRY(Write(0, first));
  const std::string journal = path_ + "-journal";
  Status done = WriteJournal(journal);
  if (!done.ok()) {
    unlink(journal.c_str());
    return done;
  }
  BACKSTAY_TRY(WriteBlocks());
  if (unlink(journal.c_str()) != 0) return Status::Errno("remove " + journal, errno);
  head_ = pending_head_;
  return Look();
}

// The journal is SQLite's by the path alone: beside another file it would be played back into that,
// and that one's into the file which is open.
Status CopyFile::Commit() {
  BACKSTAY_TRY(InPlace());
  BACKSTAY_TRY(Lock());
  Status done = InPlace();
  if (done.ok()) done = Replace();
  sqlite3_exec(db_.get(), "COMMIT", nullptr, nullptr, nullptr);
  if (done.ok()) return SyncFolder(FolderOf(path_));
  // Rolls back what was begun: nobody else need do it.
  if (InPlace().ok() && Lock().ok()) sqlite3_exec(db_.get(), "COMMIT", nullptr, nullptr, nullptr);
  return done;
}

}  // namespace backstay
