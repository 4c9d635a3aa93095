#include "uploader/state/status_file.h"

#include <fcntl.h>
#include <sys/file.h>

#include <cstdint>

#include "uploader/base/file.h"
#include "uploader/base/own_folder.h"

namespace backstay {
namespace {

constexpr char kName[] = "status.json";
constexpr char kSpare[] = "status.spare";
constexpr int64_t kReserve = 16 << 10;
constexpr int64_t kMostBytes = 1 << 20;  // as the readers take it

// Where that cannot be done the disk only has to have room again and again.
void Reserve(const Fd& file) {
  if (!CheckSizeLimit(kReserve).ok()) return;
  [[maybe_unused]] const int ignored = fallocate(file.get(), FALLOC_FL_KEEP_SIZE, 0, kReserve);
}

Status Replace(const std::string& folder, const std::string& text) {
  Result<OwnFolder> own = OwnFolder::Open(folder);
  if (!own.ok()) return own.status();
  Result<Fd> spare = own->OpenFile(kSpare);
  if (!spare.ok()) return spare.status();
  if (flock(spare->get(), LOCK_EX | LOCK_NB) != 0) return Status::Errno("lock " + folder, errno);
  Result<int64_t> size = FileSize(*spare);
  if (!size.ok()) return size.status();
  if (*size > kMostBytes) {
    own->Remove(kSpare);
    return {Code::kInvalid, folder + "/" + kSpare + " is too large"};
  }
  Reserve(*spare);
  std::string content = text;
  if (static_cast<int64_t>(text.size()) < *size) {
    content.insert(content.size() - 1, static_cast<size_t>(*size) - text.size(), ' ');
  }
  BACKSTAY_TRY(WriteAt(*spare, AsBytes(content), 0).Wrap(folder + "/" + kSpare));
  return own->Exchange(kSpare, kName);
}

}  // namespace

Status WriteStatusFile(const std::string& folder, const std::string& text) {
  if (Replace(folder, text).ok()) return Status::Ok();
  return WriteFileAtomic(folder + "/" + kName, text, /*durable=*/false);
}

}  // namespace backstay
