#include "uploader/state/shipped_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>

#include "uploader/base/hash.h"
#include "uploader/base/own_folder.h"

namespace backstay {
namespace {

constexpr size_t kHeadBytes = 8 + 4 + 8;
// Behind a drop this much is moved to the front; more waits for the next drop.
constexpr uint32_t kMoveBytes = 1 << 20;

struct Head {
  uint64_t number = 0;
  uint32_t length = 0;
  uint64_t hash = 0;
};

bool ReadHead(const Fd& fd, uint32_t at, Head* head) {
  std::array<uint8_t, kHeadBytes> bytes{};
  Result<size_t> got = ReadAt(fd, bytes.data(), bytes.size(), at);
  if (!got.ok() || *got != bytes.size()) return false;
  *head = {LoadLe64(bytes.data()), LoadLe32(bytes.data() + 8), LoadLe64(bytes.data() + 12)};
  return true;
}

// A link in its place may lead anywhere.
Result<Fd> OpenToRead(const std::string& path) { return OpenFile(path, O_RDONLY | O_NOFOLLOW); }

Result<Fd> OpenToWrite(const std::string& path) {
  Result<OwnFolder> folder = OwnFolder::Open(FolderOf(path));
  if (!folder.ok()) return folder.status();
  return folder->OpenFile(NameOf(path));
}

}  // namespace

void ShippedLog::Open(const DatabaseId& id) {
  std::lock_guard<std::mutex> lock(mutex_);
  owner_ = Hash(Bytes(id));
  begin_.clear();
  end_ = 0;
  Result<Fd> fd = OpenToRead(path_);
  Result<int64_t> size = fd.ok() ? FileSize(*fd) : fd.status();
  if (!size.ok() || *size < 0 || static_cast<uint64_t>(*size) > kMaxBytes) return;
  const auto bytes = static_cast<uint32_t>(*size);
  Head head;
  while (bytes - end_ >= kHeadBytes && ReadHead(*fd, end_, &head)) {
    if (begin_.empty()) first_ = head.number;
    const bool follows = head.number != 0 && head.number == first_ + begin_.size();
    if (!follows || head.length > bytes - end_ - kHeadBytes) return;
    begin_.push_back(end_);
    end_ += static_cast<uint32_t>(kHeadBytes) + head.length;
  }
}

void ShippedLog::Add(uint64_t number, Bytes object) {
  std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t size = kHeadBytes + object.size();
  if (number != first_ + begin_.size() || end_ + size > kMaxBytes) ClearLocked();
  if (size > kMaxBytes) return;
  ByteWriter record;
  record.Reserve(size);
  record.U64(number);
  record.U32(static_cast<uint32_t>(object.size()));
  record.U64(Hash(object) ^ owner_);
  record.Raw(object);
  Result<Fd> fd = OpenToWrite(path_);
  if (!fd.ok() || !WriteAt(*fd, record.bytes(), end_).ok()) return ClearLocked();
  if (begin_.empty()) {
    first_ = number;
    // What an earlier process left may be longer.
    if (ftruncate(fd->get(), static_cast<off_t>(size)) != 0) return ClearLocked();
  }
  begin_.push_back(end_);
  end_ += static_cast<uint32_t>(size);
}

bool ShippedLog::ReadRecord(const Fd& fd, size_t index, std::string* object) const {
  Head head;
  if (!ReadHead(fd, begin_[index], &head) || head.number != first_ + index) return false;
  const uint32_t end = index + 1 < begin_.size() ? begin_[index + 1] : end_;
  if (begin_[index] + kHeadBytes + head.length != end) return false;
  object->resize(head.length);
  Result<size_t> got = ReadAt(fd, reinterpret_cast<uint8_t*>(object->data()), object->size(),
                              static_cast<int64_t>(begin_[index] + kHeadBytes));
  return got.ok() && *got == object->size() && (Hash(AsBytes(*object)) ^ owner_) == head.hash;
}

std::optional<std::string> ShippedLog::Read(uint64_t number) const {
  std::lock_guard<std::mutex> lock(mutex_);
  if (number < first_ || number - first_ >= begin_.size()) return std::nullopt;
  Result<Fd> fd = OpenToRead(path_);
  std::string object;
  if (!fd.ok() || !ReadRecord(*fd, number - first_, &object)) return std::nullopt;
  return object;
}

void ShippedLog::DropThrough(uint64_t number) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (begin_.empty() || number < first_) return;
  const uint64_t dropped = number + 1 - first_;
  if (dropped >= begin_.size()) return ClearLocked();
  if (end_ - begin_[dropped] <= kMoveBytes) KeepFromLocked(dropped);
}

void ShippedLog::KeepFromLocked(size_t index) {
  const uint32_t shift = begin_[index];
  std::string kept(end_ - shift, '\0');
  Result<Fd> fd = OpenToRead(path_);
  Result<size_t> got =
      fd.ok() ? ReadAt(*fd, reinterpret_cast<uint8_t*>(kept.data()), kept.size(), shift)
              : Result<size_t>(fd.status());
  const bool whole = got.ok() && *got == kept.size();
  if (!whole || !WriteFileAtomic(path_, kept, /*durable=*/false).ok()) return ClearLocked();
  begin_.erase(begin_.begin(), begin_.begin() + static_cast<int64_t>(index));
  for (uint32_t& begin : begin_) begin -= shift;
  first_ += index;
  end_ -= shift;
}

void ShippedLog::Clear() {
  std::lock_guard<std::mutex> lock(mutex_);
  ClearLocked();
}

void ShippedLog::ClearLocked() {
  begin_.clear();
  end_ = 0;
  first_ = 0;
  if (Result<OwnFolder> folder = OwnFolder::Open(FolderOf(path_)); folder.ok()) {
    folder->Remove(NameOf(path_));
  }
}

}  // namespace backstay
