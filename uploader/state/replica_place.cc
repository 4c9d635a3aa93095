#include "uploader/state/replica_place.h"

#include <unistd.h>

#include "uploader/base/file.h"

namespace backstay {
namespace {

constexpr char kName[] = "/place";
constexpr size_t kMaxBytes = 64 << 10;

}  // namespace

Status NotePlace(const std::string& folder, const std::string& replica, const std::string& mark) {
  const std::string text = replica + '\n' + mark + '\n';
  Result<std::string> before = ReadFile(folder + kName, kMaxBytes);
  if (mark.empty() || (before.ok() && *before == text)) return Status::Ok();
  return WriteFileAtomic(folder + kName, text, /*durable=*/false);
}

bool IsOtherPlace(const std::string& folder, const std::string& replica, const std::string& mark) {
  Result<std::string> text = ReadFile(folder + kName, kMaxBytes);
  if (!text.ok() || text->rfind(replica + '\n', 0) != 0) return false;
  return *text != replica + '\n' + mark + '\n';
}

void ForgetPlace(const std::string& folder) { (void)unlink((folder + kName).c_str()); }

}  // namespace backstay
