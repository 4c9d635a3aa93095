#include "uploader/state/database_mark.h"

#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <string_view>

#include "uploader/base/file.h"

namespace backstay {
namespace {

constexpr size_t kMaxMark = 64;  // bytes
constexpr const char* kAdopted = "/adopted";

std::string NameOf(const DatabaseId& id) { return "user.backstay." + FormatDatabaseId(id); }

uint64_t ParseEpoch(std::string_view text) {
  uint64_t epoch = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), epoch);
  return error == std::errc() && end == text.data() + text.size() ? epoch : 0;
}

uint64_t ReadMarkFile(const std::string& folder, const DatabaseId& id) {
  Result<std::string> text = ReadFile(folder + "/mark", kMaxMark);
  const std::string start = FormatDatabaseId(id) + " ";
  if (!text.ok() || text->substr(0, start.size()) != start) return 0;
  return ParseEpoch(std::string_view(*text).substr(start.size()));
}

}  // namespace

uint64_t ReadMark(const MarkPlace& place, const DatabaseId& id) {
  char value[kMaxMark];
  ssize_t got = getxattr(place.database.c_str(), NameOf(id).c_str(), value, sizeof value);
  if (got >= 0) return ParseEpoch({value, static_cast<size_t>(got)});
  return errno == ENOTSUP ? ReadMarkFile(place.folder, id) : 0;
}

bool LacksMark(const MarkPlace& place, const DatabaseId& id) {
  return getxattr(place.database.c_str(), NameOf(id).c_str(), nullptr, 0) < 0 && errno == ENODATA;
}

Status WriteMark(const MarkPlace& place, const DatabaseId& id, uint64_t epoch) {
  if (ReadMark(place, id) == epoch) return Status::Ok();
  const std::string value = std::to_string(epoch);
  const std::string name = NameOf(id);
  if (setxattr(place.database.c_str(), name.c_str(), value.data(), value.size(), 0) == 0) {
    return Status::Ok();
  }
  if (errno != ENOTSUP) return Status::Errno("mark " + place.database, errno);
  return WriteFileAtomic(place.folder + "/mark", FormatDatabaseId(id) + " " + value,
                         /*durable=*/false);
}

Status NoteAdopted(const std::string& folder, const DatabaseId& id) {
  return WriteFileAtomic(folder + kAdopted, FormatDatabaseId(id), /*durable=*/false);
}

bool IsAdopted(const std::string& folder, const DatabaseId& id) {
  Result<std::string> text = ReadFile(folder + kAdopted, kMaxMark);
  return text.ok() && *text == FormatDatabaseId(id);
}

void ForgetAdopted(const std::string& folder) { (void)unlink((folder + kAdopted).c_str()); }

}  // namespace backstay
