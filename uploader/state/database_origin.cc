#include "uploader/state/database_origin.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>
#include <string_view>
#include <system_error>
#include <vector>

#include "uploader/base/file.h"
#include "uploader/state/state_folder.h"

namespace backstay {
namespace {

constexpr const char* kFamily = "family";
constexpr const char* kHome = "home";
constexpr std::string_view kPrefix = "user.backstay.";
constexpr size_t kMaxText = 3000;  // bytes: every file system's attributes have room for it
constexpr size_t kMaxNames = 64 << 10;

std::string Attribute(const char* name) { return std::string(kPrefix) + name; }
std::string FileFor(const std::string& database, const char* name) {
  return StateFolderOf(database) + "/" + name;
}

// Where the marks of its replicas lie, each with the state of its own, if files have no attributes.
std::vector<std::string> MarkFiles(const std::string& database) {
  std::vector<std::string> files = {FileFor(database, "mark")};
  std::error_code error;
  std::filesystem::directory_iterator entry(StateFolderOf(database), error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (entry->path().filename().string().starts_with("replica-")) {
      files.push_back(entry->path().string() + "/mark");
    }
  }
  return files;
}

// Empty: there is none. `*unsupported`: the file system has no attributes.
std::string ReadAttribute(const std::string& database, const char* name, bool* unsupported) {
  std::array<char, kMaxText> value{};
  const ssize_t got =
      getxattr(database.c_str(), Attribute(name).c_str(), value.data(), value.size());
  *unsupported = got < 0 && errno == ENOTSUP;
  return got < 0 ? std::string() : std::string(value.data(), static_cast<size_t>(got));
}

std::string ReadFolder(const std::string& database, const char* name) {
  Result<std::string> text = ReadFile(FileFor(database, name), kMaxText);
  return text.ok() ? *text : std::string();
}

std::string FormatFamily(const Family& family) {
  char numbers[80];
  snprintf(numbers, sizeof numbers, " %" PRId64 " %" PRId64 " %016" PRIx64, family.since_ms,
           family.state_ms, family.checksum);
  return FormatDatabaseId(family.id) + numbers;
}

Family ParseFamily(const std::string& text) {
  constexpr size_t kDigits = 32;
  const std::optional<DatabaseId> id = ParseDatabaseId(std::string_view(text).substr(0, kDigits));
  Family family;
  if (!id) return family;
  const int got = sscanf(text.c_str() + kDigits, " %" SCNd64 " %" SCNd64 " %" SCNx64,
                         &family.since_ms, &family.state_ms, &family.checksum);
  if (got != 3) return {};
  family.id = *id;
  return family;
}

// Written whole before it has its name: whoever finds it reads all of it.
Status MakeFamilyFile(const std::string& database, const std::string& text) {
  const std::string path = FileFor(database, kFamily);
  const std::string made = path + ".tmp" + text.substr(0, 16) + std::to_string(gettid());
  BACKSTAY_TRY(WriteFileAtomic(made, text, /*durable=*/false));
  const int linked = link(made.c_str(), path.c_str());
  Status status = linked == 0 ? Status::Ok() : Status::Errno("make " + path, errno);
  (void)unlink(made.c_str());
  return status;
}

// Which file it is, also when its number is used again later.
struct Birth {
  uint64_t inode = 0;
  int64_t born = 0;  // seconds; 0: not known
};

std::optional<Birth> BirthOf(const std::string& path) {
  struct statx info {};
  if (statx(AT_FDCWD, path.c_str(), 0, STATX_INO | STATX_BTIME, &info) != 0) return std::nullopt;
  Birth birth;
  birth.inode = info.stx_ino;
  if ((info.stx_mask & STATX_BTIME) != 0) birth.born = info.stx_btime.tv_sec;
  return birth;
}

void ForEachAttribute(const std::string& database,
                      const std::function<void(const std::string& name)>& body) {
  std::string names(kMaxNames, '\0');
  const ssize_t got = listxattr(database.c_str(), names.data(), names.size());
  if (got <= 0) return;
  names.resize(static_cast<size_t>(got));
  for (size_t at = 0; at < names.size();) {
    const std::string name = names.c_str() + at;
    if (name.starts_with(kPrefix)) body(name);
    at += name.size() + 1;
  }
}

}  // namespace

Family ReadFamily(const std::string& database) {
  bool unsupported = false;
  const std::string text = ReadAttribute(database, kFamily, &unsupported);
  return ParseFamily(unsupported ? ReadFolder(database, kFamily) : text);
}

Result<Family> ClaimFamily(const std::string& database, const Family& wanted) {
  const std::string text = FormatFamily(wanted);
  const int made = setxattr(database.c_str(), Attribute(kFamily).c_str(), text.data(), text.size(),
                            XATTR_CREATE);
  if (made == 0) return wanted;
  Status status = Status::Errno("mark " + database, errno);
  if (errno == ENOTSUP) status = MakeFamilyFile(database, text);
  if (status.ok()) return wanted;
  const Family family = ReadFamily(database);
  if (family.known()) return family;
  // One that cannot be read, unless it could not be written.
  BACKSTAY_TRY(WriteFamily(database, wanted));
  return wanted;
}

Status WriteFamily(const std::string& database, const Family& family) {
  const std::string text = FormatFamily(family);
  const int done =
      setxattr(database.c_str(), Attribute(kFamily).c_str(), text.data(), text.size(), 0);
  if (done == 0) return Status::Ok();
  if (errno != ENOTSUP) return Status::Errno("mark " + database, errno);
  return WriteFileAtomic(FileFor(database, kFamily), text, /*durable=*/false);
}

Status WriteHome(const std::string& database) {
  const std::optional<Birth> birth = BirthOf(database);
  if (!birth) return Status::Errno("stat " + database, errno);
  const std::string text =
      std::to_string(birth->inode) + " " + std::to_string(birth->born) + " " + database;
  if (text.size() > kMaxText) return Status::Ok();
  bool unsupported = false;
  if (ReadAttribute(database, kHome, &unsupported) != text && !unsupported) {
    const int done =
        setxattr(database.c_str(), Attribute(kHome).c_str(), text.data(), text.size(), 0);
    if (done != 0) return Status::Errno("mark " + database, errno);
  }
  if (ReadFolder(database, kHome) == text) return Status::Ok();
  return WriteFileAtomic(FileFor(database, kHome), text, /*durable=*/false);
}

std::string OriginalOf(const std::string& database) {
  bool unsupported = false;
  std::string text = ReadAttribute(database, kHome, &unsupported);
  if (text.empty()) text = ReadFolder(database, kHome);
  Birth home;
  int path = 0;
  if (sscanf(text.c_str(), "%" SCNu64 " %" SCNd64 " %n", &home.inode, &home.born, &path) != 2) {
    return {};
  }
  const std::string original = text.substr(static_cast<size_t>(path));
  const FileId own = FileIdOf(database);
  const FileId there = FileIdOf(original);
  if (original == database || !there.known() || there == own) return {};
  const std::optional<Birth> birth = BirthOf(original);
  const bool same = birth && birth->inode == home.inode && birth->born == home.born;
  return same ? original : std::string();
}

bool HasMark(const std::string& database) {
  bool found = false;
  ForEachAttribute(database, [&](const std::string& name) {
    found = found || ParseDatabaseId(name.substr(kPrefix.size())).has_value();
  });
  const std::vector<std::string> marks = MarkFiles(database);
  return found || std::any_of(marks.begin(), marks.end(), [](const std::string& mark) {
           return access(mark.c_str(), F_OK) == 0;
         });
}

void ForgetOrigin(const std::string& database) {
  ForEachAttribute(database, [&](const std::string& name) {
    (void)removexattr(database.c_str(), name.c_str());
  });
  for (const char* name : {kFamily, kHome}) (void)unlink(FileFor(database, name).c_str());
  for (const std::string& mark : MarkFiles(database)) (void)unlink(mark.c_str());
}

}  // namespace backstay
